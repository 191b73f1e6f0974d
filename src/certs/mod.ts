/** Certificates of nodes: made, kept, and read into a `TlsConfig`. */
export {
  type CertificateSummary,
  initAuthority,
  issueFor,
  listCertificates,
  summaryOf,
} from "./authority.ts";
export { endWarnings } from "./ending.ts";
export { defaultCertsFolder, identityFrom, parseCertificate, readPem, readSecretPem } from "./files.ts";
export { openNodeCertificate } from "./node_certificate.ts";
export { type ResolvedTls, resolveTls, type TlsOptions } from "./options.ts";
