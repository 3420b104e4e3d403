"""The signal side of the chain: STFT, log-frequency axis, mask targets, overlap-add. It knows no network or query."""
