// Requests to the server. Every failure is an Error whose message is made for people.

export async function request(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined || body instanceof Blob ? {} : { "Content-Type": "application/json" },
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error("trisep does not answer. Is it still running?");
  }
  if (!answer.ok) {
    throw Object.assign(new Error(await said(answer)), { status: answer.status });
  }
  return answer.status === 204 ? null : answer.json();
}

async function said(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text || `The server answered ${answer.status}.`;
  }
}

// Sends a file and reports its progress, 0 to 1; `signal` aborts it.
export function upload(path, file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    sending.responseType = "text";
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onload = () => {
      let content = {};
      try {
        content = JSON.parse(sending.responseText);
      } catch { /* an answer that is not JSON has no words for people */ }
      if (sending.status < 300) resolve(content);
      else reject(new Error(content.error ?? (sending.responseText || `The server answered ${sending.status}.`)));
    };
    sending.onerror = () => reject(new Error("The upload was broken off. Is trisep still running?"));
    sending.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(file);
  });
}
