/** Requests that were not allowed, for the audit of the node (RFC-0103). */
import type { GatewayError } from "../errors.ts";
import type { GatewayNode } from "../traffic/traffic.ts";

/** Refusals of access; that a client asks for what there is not is no matter of security. */
const NOTED: ReadonlySet<string> = new Set([
  "GATEWAY_UNAUTHORIZED",
  "GATEWAY_FORBIDDEN_SCOPE",
  "GATEWAY_FORBIDDEN_HOST",
  "GATEWAY_FORBIDDEN_ORIGIN",
  "GATEWAY_RATE_LIMITED",
]);

/** `path` without its query, where a token may be. */
export function noteRefusal(
  node: GatewayNode,
  { code }: GatewayError,
  request: { readonly method: string; readonly path: string; readonly address: string | undefined },
): void {
  if (!NOTED.has(code)) return;
  const { method, path, address } = request;
  node.noteAudit?.({
    what: "gateway.refused",
    outcome: "refused",
    reason: code,
    where: address,
    facts: { method, path },
  });
}
