/** The part of Deno's API that the adapter uses, typed here because the other runtimes' compilers do not know it. */
export interface DenoTcpConn {
  readonly remoteAddr: { readonly hostname: string; readonly port: number };
  readonly localAddr: { readonly hostname: string; readonly port: number };
  read(into: Uint8Array): Promise<number | null>;
  write(part: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(on?: boolean): void;
  setKeepAlive(on?: boolean): void;
}

export interface DenoListener extends AsyncIterable<DenoTcpConn> {
  readonly addr: { readonly hostname: string; readonly port: number };
  accept(): Promise<DenoTcpConn>;
  close(): void;
}

export interface DenoApi {
  readonly version: { readonly deno: string };
  connect(options: { hostname: string; port: number; signal?: AbortSignal }): Promise<DenoTcpConn>;
  listen(options: { hostname: string; port: number }): DenoListener;
}

export const deno = (globalThis as unknown as { Deno: DenoApi }).Deno;
