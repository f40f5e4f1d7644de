import { DataApiError } from "./error.js";

/** A response whose body is still to be read, and what to do when it is. */
export type Opened = [response: Response, done: () => void];

/** Run a function after a time, and when the signal aborts. Return the timer, and what ends both. */
export function after(
  milliseconds: number,
  signal: AbortSignal | undefined,
  run: () => void,
): [timer: ReturnType<typeof setTimeout>, done: () => void] {
  const timer = setTimeout(run, milliseconds);
  const done = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", run);
  };
  signal?.addEventListener("abort", run);
  return [timer, done];
}

/** Wait, until the signal at the latest. */
export const sleep = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const [, done] = after(milliseconds, signal, () => {
      done();
      resolve();
    });
  });

/** The lines of a response as they arrive. */
export async function* lines([{ body, status }, done]: Opened): AsyncGenerator<string, void, undefined> {
  const reader = body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const read = await reader.read();
      const parts = (rest + decoder.decode(read.value, { stream: !read.done })).split("\n");
      rest = parts.pop()!;
      yield* parts;
      if (read.done) break;
    }
    yield rest;
  } catch (cause) {
    if ((cause as Error).name != "TypeError") throw cause;
    throw new DataApiError("the response broke off", status, "NetworkError", { cause });
  } finally {
    done();
    // Whoever stops early ends the request.
    reader.cancel().catch(() => {});
  }
}
