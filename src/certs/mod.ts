/** Certificates of nodes: made, kept, and read into a `TlsConfig`. */
export { initAuthority, issueFor, listCertificates } from "./authority.ts";
export { defaultCertsFolder, identityFrom, parseCertificate, readPem, readSecretPem } from "./files.ts";
export { daysLeft, RENEW_DAYS } from "./node_certificate.ts";
export { type ResolvedTls, resolveTls, type TlsOptions } from "./options.ts";
