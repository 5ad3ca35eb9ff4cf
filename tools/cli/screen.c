/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A screen of its own in the terminal, for a live view: entered and left whatever ends the program
 * (but SIGKILL), drawn in one write per frame, cut to the terminal's size. Frames are what was
 * printed to stdout between screen_begin() and screen_end().
 */

#include "tools/cli/screen.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool is_raw;
static FILE *terminal; /* the real stdout while a frame is printed */
static char *frame;
static size_t frame_size;

bool cli_screen_is_possible(void)
{
    return isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
}

static void leave(void)
{
    static const char sequence[] = "\033[?25h\033[?1049l";
    if (!is_raw)
        return;
    is_raw = false;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    (void)!write(STDOUT_FILENO, sequence, sizeof(sequence) - 1);
}

int cli_screen_enter(cairn_error **reterr)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &saved) != 0)
        return cli_raise(reterr, CAIRN_EIO, "the terminal does not say how it is set: %s",
                         strerror(errno));
    raw = saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay: they are caught elsewhere */
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    (void)fflush(stdout);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0)
        return cli_raise(reterr, CAIRN_EIO, "the terminal cannot be set: %s", strerror(errno));
    is_raw = true;
    atexit(leave);
    fputs("\033[?1049h\033[?25l", stdout);
    (void)fflush(stdout);
    return 0;
}

void cli_screen_leave(void)
{
    leave();
}

void cli_screen_begin(void)
{
    FILE *memory = open_memstream(&frame, &frame_size);
    if (!memory)
        cli_out_of_memory();
    terminal = stdout;
    stdout = memory; /* glibc's is a variable */
}

/* One line, at most `columns` wide; escape sequences take no room. */
static void put_line(const char *line, size_t size, size_t columns)
{
    size_t used = 0;
    for (size_t i = 0, n; i < size; i += n) {
        if (line[i] == '\033') {
            for (n = 1; i + n < size && line[i + n - 1] != 'm'; n++)
                continue;
            fwrite(line + i, 1, n, terminal);
            continue;
        }
        n = cli_text_character(line + i, size - i);
        n = n ? n : 1;
        if (used++ < columns)
            fwrite(line + i, 1, n, terminal);
    }
    fputs("\033[K\r\n", terminal);
}

void cli_screen_size(size_t *ret_lines, size_t *ret_columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_lines = size.ws_row > 1 ? size.ws_row - 1u : 23; /* the cursor stands in the last row */
    *ret_columns = size.ws_col ? size.ws_col : 80;
}

void cli_screen_end(void)
{
    size_t lines, columns;
    (void)fclose(stdout);
    stdout = terminal;
    cli_screen_size(&lines, &columns);
    fputs("\033[H", terminal);
    const char *line = frame;
    for (size_t i = 0; i < lines && line < frame + frame_size; i++) {
        const char *end = strchrnul(line, '\n');
        put_line(line, (size_t)(end - line), columns);
        line = *end ? end + 1 : end;
    }
    fputs("\033[J", terminal);
    (void)fflush(terminal);
    free(frame);
    frame = NULL;
}

int cli_screen_key(uint64_t timeout_ms)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;
    if (poll(&in, 1, (int)timeout_ms) != 1)
        return 0;
    ssize_t n = read(STDIN_FILENO, &key, 1);
    return n == 1 ? (unsigned char)key : n == 0 ? 'q' : 0;
}
