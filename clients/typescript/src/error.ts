/** What is known of an error. */
export interface ErrorFields {
  status: number;
  errorCode: string;
  retryAfter?: number | undefined;
  code?: number | undefined;
  details?: unknown;
  requestId?: string | undefined;
  cause?: unknown;
}

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

  constructor(message: string, { cause, ...fields }: ErrorFields) {
    super(message, { cause });
    Object.assign(this, fields);
  }
}
