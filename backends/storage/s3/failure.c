/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reply, or the want of one, means for the caller: the one place that knows HTTP statuses
 * and S3's error codes. Two questions matter: may it be tried again, and may it have happened
 * although nobody said so? The second decides for create() (P1, P7): what is ambiguous has to be
 * read back.
 *
 * 412 is the answer of create-if-absent that the key exists. 409 is not: two requests met, and
 * either may be tried again.
 */
#include "backends/storage/s3/failure.h"

#include "cairn/cairn.h"

#include <openssl/x509_vfy.h>
#include <string.h>

enum { AGAIN = 1, AMBIGUOUS = 2, SKEWED = 4, SLOW = 8 };

#define NOT_S3 "that is no answer of S3: is something else listening there, or a proxy between?"

struct row {
    const char *code; /* S3's */
    int result;
    unsigned flags;
    const char *advice;
};

/* Codes say more than statuses, and come first. */
static const struct row codes[] = {
    {"AccessDenied", CAIRN_EACCES, 0, "look at the rights of these keys in this bucket"},
    {"AuthorizationHeaderMalformed", CAIRN_EINVAL, 0, "look at the region"},
    {"BadDigest", CAIRN_EUNAVAIL, AGAIN, "something changes bytes on the way"},
    {"ConditionalRequestConflict", CAIRN_EUNAVAIL, AGAIN, NULL},
    {"EntityTooLarge", CAIRN_EINVAL, 0, "use smaller parts"},
    {"ExpiredToken", CAIRN_EACCES, 0, "the session token has expired"},
    {"IncompleteBody", CAIRN_EUNAVAIL, AGAIN, NULL},
    {"InternalError", CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL},
    {"InvalidAccessKeyId", CAIRN_EACCES, 0, "the server does not know this access key"},
    {"InvalidBucketName", CAIRN_EINVAL, 0, "look at the bucket's name"},
    {"InvalidRange", CAIRN_ECORRUPT, 0, NULL},
    {"InvalidRegion", CAIRN_EINVAL, 0, "look at the region"},
    {"InvalidToken", CAIRN_EACCES, 0, "look at the session token"},
    {"MethodNotAllowed", CAIRN_EUNSUPPORTED, 0, NULL},
    {"NoSuchBucket", CAIRN_ENOTFOUND, 0,
     "there is no such bucket: look at its name and the region"},
    {"NoSuchKey", CAIRN_ENOTFOUND, 0, NULL},
    {"NoSuchUpload", CAIRN_ENOTFOUND, 0, NULL},
    {"NotImplemented", CAIRN_EUNSUPPORTED, 0, NULL},
    {"OperationAborted", CAIRN_EUNAVAIL, AGAIN, NULL},
    {"PermanentRedirect", CAIRN_EINVAL, 0, "the bucket is elsewhere: look at endpoint and region"},
    {"PreconditionFailed", CAIRN_EEXIST, 0, NULL},
    {"QuotaExceeded", CAIRN_ENOSPC, 0, "the bucket's or the user's quota is used up"},
    {"RequestTimeTooSkewed", CAIRN_EACCES, AGAIN | SKEWED, "this machine's clock is wrong"},
    {"RequestTimeout", CAIRN_ETIMEOUT, AGAIN, NULL},
    {"ServiceUnavailable", CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS | SLOW, NULL},
    {"SignatureDoesNotMatch", CAIRN_EACCES, 0,
     "look at the secret key, and at what stands between"},
    {"SlowDown", CAIRN_EUNAVAIL, AGAIN | SLOW, NULL}, /* turned away before anything was done */
    {"TemporaryRedirect", CAIRN_EUNAVAIL, AGAIN,
     "the bucket is elsewhere for now: look at endpoint and region"},
    {"UserSuspended", CAIRN_EACCES, 0, "the server has suspended the user of these keys"},
    {"XAmzContentSHA256Mismatch", CAIRN_EUNAVAIL, AGAIN, "something changes bytes on the way"},
};

static const struct {
    long status;
    struct row row;
} statuses[] = {
    {400, {NULL, CAIRN_EINVAL, 0, "look at endpoint and region"}},
    {401, {NULL, CAIRN_EACCES, 0, "look at the keys"}},
    {403, {NULL, CAIRN_EACCES, 0, "look at the keys and their rights in this bucket"}},
    {404, {NULL, CAIRN_ENOTFOUND, 0, NULL}},
    {405, {NULL, CAIRN_EUNSUPPORTED, 0, NULL}},
    {407, {NULL, CAIRN_EACCES, 0, "a proxy between wants a login"}},
    {408, {NULL, CAIRN_ETIMEOUT, AGAIN | AMBIGUOUS, NULL}},
    {409, {NULL, CAIRN_EUNAVAIL, AGAIN, NULL}},
    {411, {NULL, CAIRN_EUNSUPPORTED, 0, NULL}},
    {412, {NULL, CAIRN_EEXIST, 0, NULL}},
    {413, {NULL, CAIRN_EINVAL, 0, "use smaller parts"}},
    {416, {NULL, CAIRN_ECORRUPT, 0, NULL}},
    {429, {NULL, CAIRN_EUNAVAIL, AGAIN | SLOW, NULL}},
    {500, {NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL}},
    {501, {NULL, CAIRN_EUNSUPPORTED, 0, NULL}},
    {502, {NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL}},
    {503, {NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS | SLOW, NULL}},
    {504, {NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL}},
    {507, {NULL, CAIRN_ENOSPC, 0, NULL}},
};

static struct crn_s3_verdict verdict_of(const struct row *row)
{
    return (struct crn_s3_verdict){.code = row->result,
                                   .try_again = row->flags & AGAIN,
                                   .is_ambiguous = row->flags & AMBIGUOUS,
                                   .is_skewed = row->flags & SKEWED,
                                   .is_slow_down = row->flags & SLOW,
                                   .advice = row->advice};
}

/* Whoever issued it, a certificate is for a time and for names; of names curl judges, not OpenSSL.
 */
static const char *certificate_advice(long verdict)
{
    switch (verdict) {
    case X509_V_OK:
    case X509_V_ERR_UNSPECIFIED: /* what curl begins with */
        return "the server's certificate is for another host: look at the endpoint's name";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the server's certificate has expired, or this machine's clock is wrong";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the server's certificate is not valid yet, or this machine's clock is wrong";
    default:
        return "the server's certificate is not trusted: give its issuer as ca_file";
    }
}

static struct crn_s3_verdict judge_transport(const struct crn_s3_reply *reply)
{
    struct crn_s3_verdict verdict = {
        .code = CAIRN_EUNAVAIL, .try_again = true, .is_ambiguous = reply->was_sent};
    switch (reply->transport) {
    case CURLE_OUT_OF_MEMORY:
        verdict.code = CAIRN_ENOMEM;
        verdict.try_again = false;
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        verdict.code = CAIRN_EINVAL;
        verdict.try_again = false;
        verdict.advice = certificate_advice(reply->certificate);
        break;
    case CURLE_SSL_CONNECT_ERROR:
        verdict.advice = "does it speak TLS? look at http or https in the endpoint";
        verdict.is_ambiguous = false;
        break;
    case CURLE_SSL_CACERT_BADFILE:
        verdict.code = CAIRN_EINVAL;
        verdict.try_again = false;
        verdict.advice = "look at ca_file";
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        verdict.code = CAIRN_EINVAL;
        verdict.try_again = false;
        verdict.advice = "look at the endpoint";
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
        verdict.advice = "the endpoint's name is not known";
        verdict.is_ambiguous = false;
        break;
    case CURLE_COULDNT_CONNECT:
        verdict.advice = "nobody listens at the endpoint";
        verdict.is_ambiguous = false;
        break;
    case CURLE_OPERATION_TIMEDOUT:
        verdict.code = CAIRN_ETIMEOUT;
        break;
    default:
        break;
    }
    return verdict;
}

struct crn_s3_verdict crn_s3_judge(const struct crn_s3_reply *reply)
{
    if (reply->transport != CURLE_OK)
        return judge_transport(reply);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(reply->code, codes[i].code) == 0)
            return verdict_of(&codes[i]);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (reply->status == statuses[i].status)
            return verdict_of(&statuses[i].row);
    if (reply->status >= 200 && reply->status < 300 && reply->is_strange)
        return (struct crn_s3_verdict){
            .code = CAIRN_ECORRUPT, .is_ambiguous = true, .advice = NOT_S3};
    if (reply->status >= 200 && reply->status < 300 && *reply->code == 0)
        return (struct crn_s3_verdict){0};
    struct row row = {NULL, CAIRN_EUNSUPPORTED, 0, NULL};
    if (reply->status >= 500)
        row = (struct row){NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL};
    else if (reply->status >= 300 && reply->status < 400)
        row = (struct row){NULL, CAIRN_EINVAL, 0,
                           "the server sends us elsewhere: look at endpoint and region"};
    else if (reply->status < 300) /* 200 with an error that we do not know */
        row = (struct row){NULL, CAIRN_EUNAVAIL, AGAIN | AMBIGUOUS, NULL};
    return verdict_of(&row);
}
