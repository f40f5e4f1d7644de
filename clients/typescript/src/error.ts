import type { Document } from "./types.js";

/** A call that failed. */
export class DataApiError extends Error {
  override name = "DataApiError";
  /** The HTTP status; 0 if there was no response. */
  declare readonly status: number;
  /** The kind of error, such as `InvalidSession`; without one `NetworkError`, `Timeout` or `InvalidResponse`. */
  declare readonly errorCode: string;
  /** After how many seconds the server asks for another try. */
  declare readonly retryAfter?: number;
  /** MongoDB's error code, if the error is MongoDB's. */
  declare readonly code?: number;
  /** MongoDB's error document. */
  declare readonly details?: unknown;
  /** The `X-Request-Id` of the response, which the server's log has too. */
  declare readonly requestId?: string;

  /** @internal */
  constructor(message: string, status: number, errorCode: string, { cause, ...more }: Document) {
    super(message, { cause });
    Object.assign(this, { status, errorCode, ...more });
  }
}

/** Whether an error may be gone at the next try. */
export const isPassing = ({ status, errorCode }: DataApiError): boolean =>
  errorCode == "NetworkError" || [429, 502, 503, 504].includes(status);

/** The error that a response is, or that the last event of a stream tells. */
export function failure(text: string, response?: Response): DataApiError {
  const { status = 0, headers } = response ?? {};
  let body: { error?: string; error_code?: string; code?: number; details?: unknown } = {};
  try {
    body = Object(JSON.parse(text));
  } catch {
    // A proxy's own page.
  }
  const { error, error_code: errorCode = "InvalidResponse", code, details } = body;
  const retryAfter = parseFloat(headers?.get("retry-after")!);
  return new DataApiError(error ?? `the server responded with status ${status}`, status, errorCode, {
    code,
    details,
    retryAfter: retryAfter >= 0 ? retryAfter : undefined,
    requestId: headers?.get("x-request-id") ?? undefined,
  });
}
