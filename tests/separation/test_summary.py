"""The table of a separation and its warnings, for queries that break a terminal too."""

from pathlib import Path

from trisep.separation.summary import summary_lines, warning_lines


def stem(query: str, file: str, *, present: bool = True, share: float | None = 0.5) -> dict[str, object]:
    return {"query": query, "file": file, "present": present, "presence": 0.3, "share": share}


def test_the_table_names_every_file() -> None:
    report = {
        "input": "talk.mp4",
        "stems": [
            stem("traffic", "traffic.wav", share=0.618),
            stem("\x1b[31mred\n" + "x" * 40, "red.wav", present=False),
        ],
        "residual": "residual.wav",
        "without": "without.wav",
        "residual_share": 0.004,
        "videos": {"files": {"traffic": "traffic.mp4", "red": "red.mp4", "without": "without.mp4"}},
    }
    assert summary_lines(report, Path("out")) == [
        "out/",
        "                              heard         share  files",
        "traffic                       yes            62 %  traffic.wav, traffic.mp4",
        " [31mred xxxxxxxxxxxxxxxx...  probably not   50 %  red.wav, red.mp4",
        "the rest                                      0 %  residual.wav, without.wav, without.mp4",
    ]
    assert warning_lines(report) == [" [31mred xxxxxxxxxxxxxxxx...: probably not heard in talk.mp4 (presence 0.30)"]


def test_silence_has_no_shares() -> None:
    report = {"input": None, "stems": [stem("dog", "dog.wav", share=None)], "residual": None, "without": None}
    assert summary_lines(report, Path("out"))[1:] == [
        "     heard         share  files",
        "dog  yes                  dog.wav",
    ]
    assert warning_lines(report) == []
