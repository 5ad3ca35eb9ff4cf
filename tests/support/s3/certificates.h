/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_TESTS_S3_CERTIFICATES_H
#define CRN_TESTS_S3_CERTIFICATES_H

/* An issuer of certificates, and what it issues, as PEM files in a directory. A failure ends the
 * process. */
struct certificate {
    const char *names;          /* "IP:127.0.0.1" or "DNS:example.org" */
    long from_days, until_days; /* from today on */
};
/* DIR/NAME.pem and DIR/NAME.key: an issuer that trusts itself. */
void certificates_issuer(const char *dir, const char *name);
/* DIR/NAME.pem and DIR/NAME.key, by that issuer. */
void certificates_issue(const char *dir, const char *issuer, const char *name,
                        const struct certificate *certificate);

#endif
