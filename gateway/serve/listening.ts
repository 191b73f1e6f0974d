/** What each runtime's server gives back. */
export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}
