// Numbers as people read them.

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const tail = `${String(whole % 60).padStart(2, "0")}`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

// A moment to a tenth of a second, as in 0:03.2.
export function moment(seconds) {
  const tenths = Math.round(10 * Math.max(0, seconds));
  return `${clock(tenths / 10)}.${tenths % 10}`;
}

export function timeLeft(seconds) {
  if (seconds === null) return "";
  return seconds < 60 ? `${Math.max(1, Math.round(seconds))} s left` : `${Math.ceil(seconds / 60)} min left`;
}

export function bytes(count) {
  return count >= 1e9 ? `${Math.round(count / 1e8) / 10} GB` : `${Math.round(count / 1e6)} MB`;
}

// How a job goes: "Waiting, 2 before it", "Separating, 40 %, 5 s left".
export function going(verb, job) {
  if (job.state === "waiting") return job.num_before > 0 ? `Waiting, ${job.num_before} before it` : "Waiting";
  return [verb, job.share > 0 ? `${Math.round(100 * job.share)} %` : "", timeLeft(job.seconds_left)].filter(Boolean).join(", ");
}

// Why words were not understood, or what the probability that a sound is there means.
export function presence(result) {
  if (result.reason) return result.reason[0].toUpperCase() + result.reason.slice(1);
  if (!result.present) return "Probably not in here";
  const share = result.share === null ? "" : `, ${Math.max(1, Math.round(100 * result.share))} % of the sound`;
  return `${result.presence > 0.85 ? "Clearly heard" : "Heard"}${share}`;
}
