/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of connections. An easy handle of curl keeps its connection alive between requests, so a
 * handle is taken for each request and given back. The latest one given is the first taken: idle
 * ones grow old together, and the server closes them.
 *
 * Lock: s3->lock, for the list and the count only.
 */
#include "backends/storage/s3/http.h"

#include <stdlib.h>

int crn_s3_connection_take(struct crn_s3 *s3, struct crn_s3_connection **ret, cairn_error **reterr)
{
    crn_mutex_lock(&s3->lock);
    while (s3->idle == NULL && s3->open_connections >= s3->config.max_connections)
        crn_cond_wait(&s3->free_connection, &s3->lock);
    struct crn_s3_connection *connection = s3->idle;
    if (connection != NULL)
        s3->idle = connection->next;
    else
        s3->open_connections++;
    crn_mutex_unlock(&s3->lock);
    if (connection == NULL) {
        connection = calloc(1, sizeof *connection);
        if (connection != NULL)
            connection->easy = curl_easy_init();
        if (connection == NULL || connection->easy == NULL) {
            crn_s3_connection_give(s3, connection, false);
            return crn_err_nomem(reterr);
        }
    }
    *ret = connection;
    return 0;
}

void crn_s3_connection_give(struct crn_s3 *s3, struct crn_s3_connection *connection, bool is_good)
{
    if (!is_good && connection != NULL) {
        if (connection->easy != NULL)
            curl_easy_cleanup(connection->easy);
        free(connection);
    }
    crn_mutex_lock(&s3->lock);
    if (is_good) {
        connection->next = s3->idle;
        s3->idle = connection;
    } else {
        s3->open_connections--;
    }
    crn_cond_signal(&s3->free_connection);
    crn_mutex_unlock(&s3->lock);
}

void crn_s3_connections_close(struct crn_s3 *s3)
{
    for (struct crn_s3_connection *next; s3->idle != NULL; s3->idle = next) {
        next = s3->idle->next;
        curl_easy_cleanup(s3->idle->easy);
        free(s3->idle);
    }
}
