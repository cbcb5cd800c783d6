/** Uploading an attachment, with progress where the platform tells it. */
import { asNatterError, NatterError } from './errors.ts';
import { type Http, refusal } from './http.ts';
import type { Upload } from './types.ts';

export interface UploadOptions {
  /** 0 to 1, of the bytes sent. Browsers only. */
  onProgress?: (part: number) => void;
  signal?: AbortSignal;
}

/** Uploads `file` for later use in a message of this room. Throws {@link NatterError}. */
export async function upload(http: Http, room: string, file: File, options: UploadOptions = {}): Promise<Upload> {
  const path = `/chat-rooms/${encodeURIComponent(room)}/attachments`;
  const body = new FormData();
  body.append('file', file, file.name);
  if (typeof XMLHttpRequest === 'undefined') {
    return http.call<Upload>('POST', path, { body, ...(options.signal ? { signal: options.signal } : {}) });
  }
  const token = await http.token();
  options.signal?.throwIfAborted();
  return withProgress(http.url(path), token, body, options).catch((error: unknown) => {
    throw asNatterError(error);
  });
}

/** fetch cannot tell how far an upload is, XMLHttpRequest can. */
function withProgress(url: string, token: string, body: FormData, options: UploadOptions): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    request.setRequestHeader('authorization', `Bearer ${token}`);
    request.setRequestHeader('accept', 'application/json');
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) options.onProgress?.(event.loaded / event.total);
    };
    request.onload = () => {
      let data: unknown;
      try {
        data = JSON.parse(request.responseText);
      } catch {
        data = undefined;
      }
      if (request.status >= 200 && request.status < 300 && data) resolve(data as Upload);
      else reject(refusal(request.status, data, headersOf(request)));
    };
    request.onerror = () => reject(new NatterError('offline', 'The upload was interrupted.'));
    request.onabort = () => reject(new NatterError('aborted', 'The upload was cancelled.'));
    options.signal?.addEventListener('abort', () => request.abort(), { once: true });
    request.send(body);
  });
}

function headersOf(request: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const line of request.getAllResponseHeaders().trim().split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return headers;
}
