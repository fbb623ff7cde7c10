/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What front, listener and template say to each other: fixed-size structs, one per datagram of an AF_UNIX SOCK_SEQPACKET
 * connection, in the machine's byte order (both ends are on one machine and of one build). No struct holds a string that
 * a caller chose. A datagram of another size, magic or version is refused; reserved bytes are zero.
 *
 *   front -> listener     struct nursery_request + descriptors (START), then nothing; closing means: never mind, or: I am gone
 *   listener -> front     struct nursery_answer: QUEUED, then FORKED (with a pidfd) or REFUSED, then CHANGED
 *   front -> listener     struct nursery_request NOTE_COLD or NOTE_DIED, in a connection of its own
 *   cli -> listener       struct nursery_request: STATUS, DRAIN, RELOAD, LEDGER
 *   listener -> cli       struct nursery_answer DONE or REFUSED; for STATUS: before it struct nursery_status with a file of a
 *                         struct nursery_row for each worker; for LEDGER the scribe says DONE, with a file of struct nursery_user
 *   listener -> scribe    struct nursery_event, with the connection for LEDGER
 *   listener -> template  struct nursery_order + descriptors
 *   template -> listener  struct nursery_report: READY or UNFIT, then FORKED (with a pidfd), FAILED, CHANGED
 */
#ifndef PUPITRE_NURSERY_MESSAGES_H
#define PUPITRE_NURSERY_MESSAGES_H

#include <stdint.h>

#define NURSERY_MAGIC 0x4e505550u /* "PUPN" */
#define NURSERY_VERSION 1u
#define NURSERY_SOCKET "pupitre/nursery.sock"               /* below the runtime directory */
#define NURSERY_RUNTIME_FOLDERS "/run/user/"                /* and the user's number */
#define NURSERY_HOME_SOCKET ".local/state/pupitre/nursery-" /* below the home; and the machine's name, and ".sock" */
#define NURSERY_SYSTEM_SOCKET "/run/pupitre/nursery.sock"   /* of the whole machine */
#define NURSERY_SOCKET_VARIABLE "PUPITRE_NURSERY"           /* a path; "off" or empty: never ask a nursery */

enum nursery_op {
	/* requests */
	NURSERY_START = 1,
	NURSERY_STATUS = 2,
	NURSERY_DRAIN = 3,     /* no new workers; the listener ends when the last worker has ended */
	NURSERY_RELOAD = 4,    /* build a new template, and fork from it once it is ready */
	NURSERY_LEDGER = 5,    /* what is known of each user; for root, and the nursery's own user */
	NURSERY_NOTE_COLD = 6, /* a note: a kernel starts cold, for a reason that the listener has not said itself */
	NURSERY_NOTE_DIED = 7, /* a note: a kernel's Python has ended without having been asked */
	/* answers */
	NURSERY_QUEUED = 16,  /* accepted: a FORKED or REFUSED will follow, however long others take */
	NURSERY_FORKED = 17,  /* pid, with a pidfd */
	NURSERY_REFUSED = 18, /* reason; definite: there is no worker for this id and never will be */
	NURSERY_CHANGED = 19, /* status as waitpid gives it with WUNTRACED and WCONTINUED; the last one is the end */
	NURSERY_DONE = 20,
	/* from a template */
	NURSERY_READY = 32,  /* it can fork */
	NURSERY_UNFIT = 33,  /* it will never fork: text says why, status is 0 when another may; it ends */
	NURSERY_FAILED = 34, /* it did not fork this time: reason */
	/* to a template */
	NURSERY_FORK = 48,
};

/* Why not. Each has a sentence in nursery/reasons.c. */
enum nursery_reason {
	NURSERY_OK = 0,
	NURSERY_BAD_REQUEST, /* malformed */
	NURSERY_BAD_BUILD,   /* another version of Pupitre */
	NURSERY_NOT_ALLOWED, /* this uid may not */
	NURSERY_TOO_MANY,    /* the user has as many workers, or asks as often, as is allowed */
	NURSERY_FULL,        /* the machine-wide limit */
	NURSERY_NOT_READY,   /* no template yet, or none any more */
	NURSERY_DRAINING,
	NURSERY_OTHER_PYTHON, /* the caller wants another interpreter or virtual environment */
	NURSERY_STALE,        /* packages changed since the template was built */
	NURSERY_THREADS,      /* the template has more than one thread */
	NURSERY_NO_MEMORY,    /* fork failed */
	NURSERY_OTHER_NAMESPACE,
	NURSERY_OTHER_LABEL,  /* LSM label */
	NURSERY_SECCOMP,      /* the caller is under a seccomp filter */
	NURSERY_NO_NEW_PRIVS, /* the caller's differs from ours */
	NURSERY_OTHER_ROOT,   /* chroot */
	NURSERY_GROUPS,       /* more supplementary groups than an order can carry */
	NURSERY_CGROUP,       /* the caller's cgroup cannot be joined */
	NURSERY_PLACEMENT,    /* something else about the caller cannot be reproduced, or it went away */
	NURSERY_ENVIRONMENT,  /* found by the front: the environment would change the interpreter itself */
	NURSERY_TEMPLATE_DIED,
	NURSERY_NO_NURSERY, /* found by the front: nobody listens */
	NURSERY_NO_ANSWER,  /* found by the front: a deadline passed */
	NURSERY_UNLIKE,     /* found by the front: the worker ended before it said hello */
	NURSERY_REASON_COUNT
};

/* What to do about it. */
enum nursery_verdict {
	NURSERY_COLD = 0,  /* start cold; asking again later may help */
	NURSERY_FINAL = 1, /* start cold; asking again is no use for this caller */
};

/* One sentence for administrators, without a full stop. Never NULL. reasons.c */
const char *nursery_reason_text(unsigned reason);

/* The interpreter by what stat says of it, so that no path crosses: the program itself (symbolic links followed) and the
 * directory that it is called in (a virtual environment's bin). */
struct nursery_interpreter {
	uint64_t program_dev, program_ino;
	uint64_t dir_dev, dir_ino;
};

/* Fill *ret for the path of an interpreter. 0, or -1 with errno. reasons.c */
int nursery_interpreter_of(const char *path, struct nursery_interpreter *ret);

/* The descriptors that come with START, in this order. */
enum nursery_fd {
	NURSERY_FD_OUT,      /* becomes 1 */
	NURSERY_FD_ERR,      /* becomes 2 */
	NURSERY_FD_LINK,     /* becomes 3 */
	NURSERY_FD_BELL,     /* 4 */
	NURSERY_FD_SHARED,   /* 5 */
	NURSERY_FD_LIFELINE, /* 6 */
	NURSERY_FD_CRASH,    /* 7 */
	NURSERY_FD_ANSWERS,  /* 8 */
	NURSERY_FD_PAYLOAD, /* sealed memfd, struct nursery_payload; only the worker reads it, after it dropped privileges */
	NURSERY_FD_CWD, /* the caller's working directory, O_PATH */
	NURSERY_FD_COUNT
};

/* The descriptors that come with FORK, before those of cgroups. */
enum nursery_order_fd {
	NURSERY_ORDER_HAND, /* a socket with one datagram, of one byte: the caller's ten descriptors. Who takes them closes it last */
	NURSERY_ORDER_FDS
};

#define NURSERY_BUILD_SIZE 32
#define NURSERY_BUILD PUPITRE_VERSION "/4" /* changes with the link, the payload or these structs */

/* What ended a worker, where its status does not say it. Each has a sentence in nursery/reasons.c. */
enum nursery_cause {
	NURSERY_CAUSE_STATUS, /* its status says it */
	NURSERY_CAUSE_LIMIT,  /* out of memory: the limit of its cgroup */
	NURSERY_CAUSE_MEMORY, /* out of memory: the machine's */
	NURSERY_CAUSE_STACK,
	NURSERY_CAUSE_CUT_OFF,
	NURSERY_CAUSE_UNKNOWN, /* nobody could tell how it ended */
	NURSERY_CAUSE_COUNT
};

/* One sentence without a full stop; NULL for CAUSE_STATUS, and for what is none. reasons.c */
const char *nursery_cause_text(unsigned cause);

/* What a front knows, for the log and the ledger: believed of its own user, and of nobody else. */
struct nursery_note {
	int32_t pid;      /* of the worker; of the front where there is none */
	int32_t status;   /* DIED: as waitpid gives it */
	uint32_t cell;    /* DIED: the number of the one that ran; 0: none did */
	uint16_t reason;  /* COLD: enum nursery_reason */
	uint16_t cause;   /* DIED: enum nursery_cause */
	uint64_t used_us; /* processor time of the worker */
	uint64_t peak_kib;
};

struct nursery_request {
	uint32_t magic;
	uint16_t version, op;
	uint64_t id;                       /* chosen by the caller; comes back in answers */
	char build[NURSERY_BUILD_SIZE];    /* NURSERY_BUILD, padded with NUL */
	struct nursery_interpreter python; /* START */
	uint64_t kernel[2];       /* START, NOTE_COLD, NOTE_DIED: its id, the bytes of a UUID; zeros: it has none */
	struct nursery_note note; /* NOTE_COLD, NOTE_DIED; else zeros */
};
_Static_assert(sizeof(struct nursery_request) == 128, "fixed");

struct nursery_answer {
	uint32_t magic;
	uint16_t version, op;
	uint64_t id;
	int32_t pid;    /* FORKED, CHANGED */
	int32_t status; /* CHANGED */
	uint16_t reason, verdict;
	uint32_t reserved;
	uint64_t user_us, system_us, peak_kib; /* CHANGED at the end: of the worker itself, from wait4 */
};
_Static_assert(sizeof(struct nursery_answer) == 56, "fixed");

/* The header of the payload memfd. `count` NUL-terminated NAME=VALUE strings of the environment follow, `size` bytes without this
 * header, to the end of the file. */
struct nursery_payload {
	uint32_t magic, version;
	uint32_t umask, count;
	uint64_t size;
	uint64_t ignored; /* signals that the caller's starter had ignored: bit N - 1 is signal N */
};
#define NURSERY_PAYLOAD_MAX ((uint64_t)4 << 20)

#define NURSERY_GROUPS_MAX 256
#define NURSERY_LIMITS 16 /* RLIM_NLIMITS */
#define NURSERY_CPUS 1024
#define NURSERY_CGROUPS_MAX 16

/* Who the worker becomes: numbers that the listener read from the kernel, never from the caller. */
struct nursery_placement {
	uint32_t uid, gid;
	uint32_t group_count, groups[NURSERY_GROUPS_MAX];
	uint64_t limits[NURSERY_LIMITS][2]; /* soft, hard, by RLIMIT_ number */
	int32_t nice, oom_score_adj;
	int32_t policy, priority; /* sched_setscheduler */
	int32_t ioprio;           /* ioprio_get */
	uint32_t loginuid;        /* (uint32_t)-1: none */
	uint64_t timer_slack_ns;  /* 0: leave */
	uint32_t coredump_filter;
	uint32_t personality;
	uint64_t cpus[NURSERY_CPUS / 64];
	uint64_t
		cap_bounding; /* CapBnd of the caller's /proc/PID/status; its other capability sets must be empty unless it is root's */
	uint32_t cgroup_count;  /* descriptors of cgroup.procs files, open for writing, after the NURSERY_ORDER_FDS */
	uint32_t keep_identity; /* per-user mode: uid, gid and groups are ours already; change nothing of them */
};

struct nursery_order {
	uint32_t magic;
	uint16_t version, op; /* FORK */
	uint64_t id;
	int32_t caller; /* pid of the front */
	uint32_t reserved;
	struct nursery_placement placement;
};

#define NURSERY_TEXT_SIZE 488

struct nursery_report {
	uint32_t magic;
	uint16_t version, op;
	uint64_t id; /* of the order; 0 for READY and UNFIT */
	int32_t pid, status;
	uint16_t reason, reserved;
	uint32_t fork_us; /* FORKED: from the order to the return of fork */
	uint64_t user_us, system_us, peak_kib;
	char text[NURSERY_TEXT_SIZE]; /* READY: the fingerprint; UNFIT, FAILED: why. Printable ASCII, NUL-terminated */
};

#define NURSERY_TEMPLATES_MAX 4
#define NURSERY_FORK_TIMES 256

struct nursery_template_status {
	int32_t pid;
	uint32_t state; /* enum nursery_template_state */
	uint64_t age_s, forks;
	struct nursery_interpreter python;
	char text[NURSERY_TEXT_SIZE]; /* as in the report */
};

enum nursery_template_state {
	NURSERY_TEMPLATE_NONE,
	NURSERY_TEMPLATE_BUILDING,
	NURSERY_TEMPLATE_READY,
	NURSERY_TEMPLATE_OLD,
	NURSERY_TEMPLATE_UNFIT
};

struct nursery_status {
	uint32_t magic;
	uint16_t version, op; /* NURSERY_STATUS */
	uint64_t id;
	int32_t pid;
	uint32_t draining, per_user, template_count;
	uint64_t uptime_s, forks, refusals, live;
	uint32_t fork_us[NURSERY_FORK_TIMES];   /* of the newest forks, in any order; fewer while there were fewer */
	uint64_t refused[NURSERY_REASON_COUNT]; /* by reason */
	struct nursery_template_status templates[NURSERY_TEMPLATES_MAX];
};

struct nursery_row {
	int32_t pid;
	uint32_t uid;
	uint64_t age_s;
	uint32_t stopped, reserved;
	uint64_t kernel[2]; /* as its front says */
};

#define NURSERY_STRANGERS UINT32_MAX /* in place of a user: all who may not start a kernel */

/* What happened, for the scribe. */
struct nursery_event {
	uint32_t op;        /* FORKED, REFUSED, CHANGED: it ended; NOTE_COLD, NOTE_DIED, LEDGER */
	uint32_t uid;       /* the kernel's word */
	uint32_t account;   /* that uid, or NURSERY_STRANGERS */
	uint32_t is_start;  /* REFUSED: it was to be a kernel */
	uint64_t kernel[2]; /* the front's word, as is that of NOTE_COLD and NOTE_DIED */
	struct nursery_note note;
};

/* A line of the ledger. */
struct nursery_user {
	uint32_t uid; /* or NURSERY_STRANGERS */
	uint32_t deaths, over_memory;
	uint32_t cold[NURSERY_REASON_COUNT]; /* kernels started cold, by reason */
	uint64_t forks, used_us;             /* used_us: processor time of forked workers that have ended */
};

#endif
