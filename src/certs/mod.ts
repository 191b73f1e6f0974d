/** Certificates of nodes: made, kept, and read into a `TlsConfig`. */
export {
  type CertificateSummary,
  initAuthority,
  issueFor,
  listCertificates,
  summaryOf,
} from "./authority.ts";
export { defaultCertsFolder, identityFrom, parseCertificate, readPem, readSecretPem } from "./files.ts";
export { daysLeft, openNodeCertificate, RENEW_DAYS } from "./node_certificate.ts";
export { type ResolvedTls, resolveTls, type TlsOptions } from "./options.ts";
