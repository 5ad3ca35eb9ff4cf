/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer beside a checkpoint.
 *
 * It wakes up every half millisecond and puts what is due. Each put is timed alone (making the
 * record is not part of it); the longest one of a window is the stall. A window ends and begins
 * between two puts: mark() posts a request, the writer answers it at its next safe point.
 *
 * A put can also be slow because its thread is put off the processor for others. The kernel counts
 * that (the second number of schedstat), so that each slow put is also told without it.
 *
 * Fields of `window` and `error` belong to the writer's thread until it has answered or ended.
 */
#include "tools/bench/writer.h"
#include "tools/bench/measure.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define TICK_US 500
#define SLOW_NS 50000 /* asking the kernel is not worth it for less */

struct bench_writer {
    /* constant after start */
    struct bench_target *target;
    const struct bench_workload *workload;
    uint32_t round;
    uint64_t rate;
    pthread_t thread;
    /* atomic */
    atomic_bool stop;
    atomic_uint requested, answered;
    atomic_bool ended; /* the thread failed, or stopped */
    /* the writer's thread; read by others after `answered` or `ended` */
    struct bench_window window, answer;
    uint64_t cpu_base_ns, switches_base;
    uint64_t done; /* puts since the start */
    int result;
    cairn_error *error;
};

static void answer_request(struct bench_writer *writer)
{
    unsigned requested = atomic_load(&writer->requested);
    if (requested == atomic_load(&writer->answered))
        return;
    uint64_t cpu_ns = bench_thread_cpu_ns(), switches = bench_thread_switches();
    writer->answer = writer->window;
    writer->answer.cpu_ns = cpu_ns - writer->cpu_base_ns;
    writer->answer.switches = switches - writer->switches_base;
    writer->window = (struct bench_window){0};
    writer->cpu_base_ns = cpu_ns;
    writer->switches_base = switches;
    atomic_store(&writer->answered, requested);
}

/* Time that this thread has waited for a processor so far; 0 where the kernel does not tell. */
static uint64_t waited_ns(int schedstat)
{
    char text[96];
    ssize_t n = schedstat < 0 ? -1 : pread(schedstat, text, sizeof(text) - 1, 0);
    unsigned long long ran, waited;
    text[n < 0 ? 0 : n] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

static void note_put(struct bench_window *window, uint64_t took_ns, uint64_t own_ns)
{
    if (took_ns > window->longest_put_ns)
        window->longest_put_ns = took_ns;
    if (own_ns > window->longest_own_ns)
        window->longest_own_ns = own_ns;
    window->puts++;
}

static int put_due(struct bench_writer *writer, struct bench_record *record, uint64_t due,
                   int schedstat)
{
    while (writer->done < due && !atomic_load_explicit(&writer->stop, memory_order_relaxed)) {
        uint64_t i = writer->done % writer->workload->updates;
        bench_record_fill(writer->workload, bench_update_index(writer->workload, writer->round, i),
                          writer->round, record);
        uint64_t waited_before_ns = waited_ns(schedstat), start_ns = bench_now_ns();
        BENCH_TRY(writer->target->put(writer->target, record, &writer->error));
        uint64_t took_ns = bench_now_ns() - start_ns, waited = 0;
        if (took_ns > SLOW_NS)
            waited = waited_ns(schedstat) - waited_before_ns;
        note_put(&writer->window, took_ns, took_ns > waited ? took_ns - waited : 0);
        writer->done++;
        answer_request(writer);
    }
    return 0;
}

static void *writer_main(void *arg)
{
    struct bench_writer *writer = arg;
    struct bench_record record = {.value = malloc(writer->workload->value_size)};
    if (!record.value)
        writer->result = bench_fail_nomem(&writer->error);
    int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    writer->cpu_base_ns = bench_thread_cpu_ns();
    writer->switches_base = bench_thread_switches();
    uint64_t start_ns = bench_now_ns();
    while (writer->result == 0 && !atomic_load(&writer->stop)) {
        double elapsed_s = (double)(bench_now_ns() - start_ns) / 1e9;
        uint64_t due = (uint64_t)(elapsed_s * (double)writer->rate);
        writer->result = put_due(writer, &record, due, schedstat);
        answer_request(writer);
        bench_sleep_us(TICK_US);
    }
    if (schedstat >= 0)
        (void)close(schedstat);
    free(record.value);
    atomic_store(&writer->ended, true);
    return NULL;
}

int bench_writer_start(struct bench_target *target, const struct bench_workload *workload,
                       uint32_t round, uint64_t rate, struct bench_writer **ret,
                       cairn_error **reterr)
{
    struct bench_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return bench_fail_nomem(reterr);
    writer->target = target;
    writer->workload = workload;
    writer->round = round;
    writer->rate = rate;
    int r = pthread_create(&writer->thread, NULL, writer_main, writer);
    if (r) {
        free(writer);
        return bench_fail_os(reterr, r, "starting the writer");
    }
    *ret = writer;
    return 0;
}

int bench_writer_mark(struct bench_writer *writer, struct bench_window *ret, cairn_error **reterr)
{
    unsigned request = atomic_fetch_add(&writer->requested, 1) + 1;
    while (atomic_load(&writer->answered) != request) {
        if (atomic_load(&writer->ended))
            return bench_fail(reterr, writer->result < 0 ? writer->result : CAIRN_ECANCELED,
                              "the writer stopped: %s", cairn_error_message(writer->error));
        bench_sleep_us(50);
    }
    *ret = writer->answer;
    return 0;
}

int bench_writer_stop(struct bench_writer *writer, uint64_t *ret_puts, cairn_error **reterr)
{
    if (!writer)
        return 0;
    atomic_store(&writer->stop, true);
    (void)pthread_join(writer->thread, NULL);
    int r = writer->result;
    if (r < 0)
        r = bench_fail(reterr, r, "the writer stopped: %s", cairn_error_message(writer->error));
    else if (ret_puts)
        *ret_puts = writer->done;
    cairn_error_free(writer->error);
    free(writer);
    return r;
}
