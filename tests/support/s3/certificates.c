/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests of TLS, also such as no issuer gives out. */
#include "tests/support/s3/certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { DAY_SECONDS = 86400 };

static void must(int condition)
{
    if (!condition)
        abort();
}

static FILE *open_file(const char *dir, const char *name, const char *suffix, const char *mode)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
    FILE *file = fopen(path, mode);
    must(file != NULL);
    return file;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *make(const char *name, EVP_PKEY *key, long from_days, long until_days)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    must(certificate != NULL);
    must(X509_set_version(certificate, 2) == 1);
    must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1);
    must(X509_gmtime_adj(X509_getm_notBefore(certificate), from_days * DAY_SECONDS) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(certificate), until_days * DAY_SECONDS) != NULL);
    must(X509_set_pubkey(certificate, key) == 1);
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    (const unsigned char *)name, -1, -1, 0) == 1);
    return certificate;
}

static void save(const char *dir, const char *name, X509 *certificate, EVP_PKEY *key)
{
    FILE *file = open_file(dir, name, "pem", "we");
    must(PEM_write_X509(file, certificate) == 1);
    must(fclose(file) == 0);
    file = open_file(dir, name, "key", "we");
    must(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    must(fclose(file) == 0);
}

void certificates_issuer(const char *dir, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL);
    X509 *certificate = make(name, key, -10, 10);
    must(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    must(X509_sign(certificate, key, EVP_sha256()) > 0);
    save(dir, name, certificate, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificates_issue(const char *dir, const char *issuer, const char *name,
                        const struct certificate *wanted)
{
    FILE *file = open_file(dir, issuer, "pem", "re");
    X509 *issuer_certificate = PEM_read_X509(file, NULL, NULL, NULL);
    must(issuer_certificate != NULL && fclose(file) == 0);
    file = open_file(dir, issuer, "key", "re");
    EVP_PKEY *issuer_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    must(issuer_key != NULL && fclose(file) == 0);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL);
    X509 *certificate = make(name, key, wanted->from_days, wanted->until_days);
    must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer_certificate)) == 1);
    add_extension(certificate, issuer_certificate, NID_subject_alt_name, wanted->names);
    must(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    save(dir, name, certificate, key);
    X509_free(certificate);
    X509_free(issuer_certificate);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
}
