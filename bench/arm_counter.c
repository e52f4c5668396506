/* Counts the ARM instructions that a program executes under qemu-user, run by run.
 *
 * A plugin for qemu 7.2's user mode (plugin API 1; newer ones are built without plugins in Debian).
 * At each getppid() of the program it prints one line on stderr,
 *   counted all=N dot=N mmla=N widening=N simd=N memory=N
 * with what was executed since the call before: `etalase bench --mark` calls it around each run.
 * Exact for one thread: the counters are not atomic. Left out: time. Nothing here knows caches,
 * latencies or how many instructions a core issues at once.
 *
 *   cc -O2 -shared -fPIC -o libarm_counter.so arm_counter.c
 *   qemu-aarch64 -plugin ./libarm_counter.so -L /usr/aarch64-linux-gnu PROGRAM
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What is used of qemu-plugin.h, written out: Debian has no package with that header. */
typedef uint64_t plugin_id;
typedef struct qemu_plugin_tb block;
typedef struct qemu_plugin_insn instruction;
typedef void on_block_fn(plugin_id, block *);
typedef void on_call_fn(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_block_fn *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_call_fn *);
void qemu_plugin_register_vcpu_tb_exec_inline(block *, int operation, void *counter, uint64_t amount);
size_t qemu_plugin_tb_n_insns(const block *);
instruction *qemu_plugin_tb_get_insn(const block *, size_t);
const void *qemu_plugin_insn_data(const instruction *);
#define INLINE_ADD 0
#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

#define SYS_GETPPID_ARM64 173

/* An instruction is in a class if (word & mask) == value for one of the class's patterns.
 * Arm ARM, C4.1: encodings of the advanced SIMD and load/store groups. */
typedef struct {
    uint32_t mask, value;
} pattern;

enum { ALL, DOT, MMLA, WIDENING, SIMD, MEMORY, CLASSES };

static const struct {
    const char *name;
    pattern patterns[5]; /* ends at mask 0 */
} classes[CLASSES] = {
    [ALL] = {"all", {{0, 0}}},
    [DOT] = {"dot",
             {{0x9FE0FC00, 0x0E809400},   /* SDOT, UDOT (vector) */
              {0x9FC0F400, 0x0F80E000},   /* SDOT, UDOT (by element) */
              {0xBFE0FC00, 0x0E809C00},   /* USDOT (vector) */
              {0xBF40F400, 0x0F00F000}}}, /* SUDOT, USDOT (by element) */
    [MMLA] = {"mmla",
              {{0xDFE0FC00, 0x4E80A400},   /* SMMLA, UMMLA */
               {0xFFE0FC00, 0x4E80AC00}}}, /* USMMLA */
    [WIDENING] = {"widening",
                  {{0x9F20FC00, 0x0E208000},   /* SMLAL, UMLAL (vector) */
                   {0x9F00F400, 0x0F002000},   /* SMLAL, UMLAL (by element) */
                   {0x9F20FC00, 0x0E20C000},   /* SMULL, UMULL (vector) */
                   {0x9F00F400, 0x0F00A000}}}, /* SMULL, UMULL (by element) */
    [SIMD] = {"simd", {{0x0E000000, 0x0E000000}}},   /* all SIMD and floating-point data processing */
    [MEMORY] = {"memory", {{0x0A000000, 0x08000000}}}, /* all loads and stores */
};

static uint64_t executed[CLASSES], before[CLASSES];

static int belongs(uint32_t word, const pattern *patterns)
{
    for (; patterns->mask; patterns++)
        if ((word & patterns->mask) == patterns->value)
            return 1;
    return 0;
}

static void on_block(plugin_id id, block *translated)
{
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(translated);
    uint64_t amounts[CLASSES] = {[ALL] = length};
    for (size_t i = 0; i < length; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, i)), sizeof word);
        for (int class = DOT; class < CLASSES; class++)
            amounts[class] += belongs(word, classes[class].patterns);
    }
    for (int class = ALL; class < CLASSES; class++)
        if (amounts[class])
            qemu_plugin_register_vcpu_tb_exec_inline(translated, INLINE_ADD, &executed[class], amounts[class]);
}

static void on_call(plugin_id id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                    uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != SYS_GETPPID_ARM64)
        return;
    /* One write a line: the program may print on stderr too. */
    char line[256];
    int used = snprintf(line, sizeof line, "counted");
    for (int class = ALL; class < CLASSES; class++)
        used += snprintf(line + used, sizeof line - (size_t)used, " %s=%" PRIu64, classes[class].name,
                         executed[class] - before[class]);
    fprintf(stderr, "%s\n", line);
    memcpy(before, executed, sizeof before);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    return 0;
}
