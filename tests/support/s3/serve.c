/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve DIRECTORY [lying]: an S3 server on loopback whose bucket "cairn" is the directory, for who
 * has the access key "test" (with any secret). Prints its port, and ends when its standard input
 * does. lying: it ignores If-None-Match.
 */
#include "tests/support/s3/fake_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char byte;
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "lying") != 0)) {
        (void)fputs("usage: serve DIRECTORY [lying]\n", stderr);
        return 2;
    }
    struct fake *fake = fake_start();
    fake->directory = argv[1]; /* nobody knows the port yet */
    fake_set_owner(fake, "cairn", "Credential=test/");
    fake_set_lying(fake, argc == 3);
    printf("%u\n", fake_port(fake));
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    fake_stop(fake);
    return 0;
}
