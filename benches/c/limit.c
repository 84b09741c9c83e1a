// SPDX-License-Identifier: Apache-2.0
// What a hook event costs without an engine: the same work as a bare loop.
//
//   limit worker [--spawn posix|vfork] [--rss MIB] [--idle THREADS]
//       answers commands on standard input (below)
//   limit proc COMMAND [ARGUMENT]...
//       the same, but each event starts COMMAND as a process; {hooks} in it becomes the first layer
//   limit once LAYER[:LAYER]... POINT
//       one event as a process: payload from standard input, result to standard output
//
// A command is one line, `run LAYER[:LAYER]... POINT PAYLOAD-FILE EVENTS THREADS`; its answer is one line,
// `ok WALL-NS READ-BYTES EVENT-NS...`. The directory for payload files is taken from RUN_DIR.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int use_vfork;
static int null_fd;
static const char *run_dir;
static char **command;
static atomic_ulong sequence;

static void die(const char *what) {
  perror(what);
  exit(3);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// ---- discovery ---------------------------------------------------------------------------------

struct chain {
  char **paths;
  int count, room;
};

struct entry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

static void list(const char *dir, struct chain *c) {
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  _Alignas(8) char buffer[32768];
  long n;
  while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < n;) {
      struct entry *e = (struct entry *)(buffer + at);
      at += e->length;
      struct stat st;
      if (e->name[0] == '.') continue;
      if (e->type != DT_REG && (fstatat(fd, e->name, &st, 0) || !S_ISREG(st.st_mode))) continue;
      if (faccessat(fd, e->name, X_OK, 0)) continue;
      if (c->count == c->room) c->paths = realloc(c->paths, (c->room = c->room ? c->room * 2 : 16) * sizeof(char *));
      size_t a = strlen(dir), b = strlen(e->name);
      char *path = malloc(a + b + 2);
      memcpy(path, dir, a);
      path[a] = '/';
      memcpy(path + a + 1, e->name, b + 1);
      c->paths[c->count++] = path;
    }
  close(fd);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static struct chain discover(const char *layers, const char *point) {
  struct chain c = {0};
  while (*layers) {
    size_t n = strcspn(layers, ":");
    char dir[4096];
    snprintf(dir, sizeof dir, "%.*s/%s", (int)n, layers, point);
    list(dir, &c);
    layers += n + (layers[n] == ':');
  }
  if (c.count > 1) qsort(c.paths, c.count, sizeof(char *), by_name);
  return c;
}

// ---- one hook ----------------------------------------------------------------------------------

static pid_t start(char *path, char **envp, int err) {
  char *argv[] = {path, NULL};
  pid_t pid = -1;
  if (use_vfork) {
    volatile int failed = 0;
    pid = vfork();
    if (pid == 0) {
      dup2(null_fd, 1);
      dup2(err, 2);
      execve(path, argv, envp);
      failed = errno;
      _exit(127);
    }
    if (failed) {
      errno = failed;
      die(path);
    }
  } else {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, null_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    int error = posix_spawn(&pid, path, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
      errno = error;
      die(path);
    }
  }
  return pid;
}

static int run_hook(char *path, char **envp, char *said, size_t room) {
  int err[2], status;
  if (pipe2(err, O_CLOEXEC)) die("pipe2");
  pid_t pid = start(path, envp, err[1]);
  close(err[1]);
  while (read(err[0], said, room) > 0) {
  }
  close(err[0]);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- one event ---------------------------------------------------------------------------------

struct scratch {
  char *data;
  size_t room;
  char said[65536];
};

static char *const PROPERTIES[] = {
    "smbios={'serial': '1234'}",
    "macbind={'00:1a:4a:60:d1:9a': 'br0'}",
    "qemu_cmdline=[\"-cdrom\",\"/x.iso\"]",
    "sap_agent=true",
    "viodiskcache=writethrough",
    "vmId=13070562-2ee7-4092-a746-7975ff5b3993",
};
enum { N_PROPERTIES = sizeof PROPERTIES / sizeof *PROPERTIES };

// The length of the result in s->data, or -1 where there is no hook.
static ssize_t event(const char *layers, const char *point, const char *payload, size_t size, struct scratch *s) {
  struct chain c = discover(layers, point);
  if (!c.count) return -1;
  char path[4096], variable[4200];
  snprintf(path, sizeof path, "%s/limit-%d.%lu", run_dir, getpid(), atomic_fetch_add(&sequence, 1));
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) die(path);
  for (size_t done = 0; done < size;) {
    ssize_t n = write(fd, payload + done, size - done);
    if (n < 0) die(path);
    done += n;
  }
  close(fd);

  int n = 0;
  while (environ[n]) n++;
  char *envp[n + N_PROPERTIES + 2];
  memcpy(envp, environ, n * sizeof *envp);
  for (int i = 0; i < N_PROPERTIES; i++) envp[n++] = PROPERTIES[i];
  snprintf(variable, sizeof variable, "_hook_domxml=%s", path);
  envp[n++] = variable;
  envp[n] = NULL;

  for (int i = 0; i < c.count; i++)
    if (run_hook(c.paths[i], envp, s->said, sizeof s->said) == 2) break;

  struct stat st;
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) die(path);
  if ((size_t)st.st_size > s->room) s->data = realloc(s->data, s->room = st.st_size);
  ssize_t got = 0, r;
  while (got < st.st_size && (r = read(fd, s->data + got, st.st_size - got)) > 0) got += r;
  close(fd);
  unlink(path);
  for (int i = 0; i < c.count; i++) free(c.paths[i]);
  free(c.paths);
  return got;
}

// ---- an event that is a process ----------------------------------------------------------------

static void process(const char *layers, const char *payload_file) {
  char *argv[64], first[4096];
  int n = 0, status;
  snprintf(first, sizeof first, "%.*s", (int)strcspn(layers, ":"), layers);
  for (; command[n] && n < 63; n++) {
    char *at = strstr(command[n], "{hooks}");
    argv[n] = command[n];
    if (at && asprintf(&argv[n], "%.*s%s%s", (int)(at - command[n]), command[n], first, at + 7) < 0) die("asprintf");
  }
  argv[n] = NULL;
  int in = open(payload_file, O_RDONLY | O_CLOEXEC);
  int out = open(run_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (in < 0 || out < 0) die(run_dir);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, null_fd, 2);
  pid_t pid;
  int error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error) {
    errno = error;
    die(argv[0]);
  }
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  close(in);
  close(out);
  for (int i = 0; i < n; i++)
    if (argv[i] != command[i]) free(argv[i]);
  if (status) {
    fprintf(stderr, "%s ended with status %#x\n", command[0], status);
    exit(3);
  }
}

// ---- the worker --------------------------------------------------------------------------------

struct job {
  char layers[4096], point[256], payload_file[4096];
  char *payload;
  size_t size;
  long events;
  atomic_long next;
  uint64_t *took;
  pthread_barrier_t start;
};

static void one(struct job *j, struct scratch *s) {
  if (command)
    process(j->layers, j->payload_file);
  else
    event(j->layers, j->point, j->payload, j->size, s);
}

static void *work(void *argument) {
  struct job *j = argument;
  struct scratch *s = calloc(1, sizeof *s);
  s->data = malloc(s->room = j->size + 4096);
  // Pages of a buffer that is used again and again are there.
  memset(s->data, 1, s->room);
  // A thread's first event pays for its stack and its share of the heap.
  one(j, s);
  pthread_barrier_wait(&j->start);
  pthread_barrier_wait(&j->start);
  for (long i; (i = atomic_fetch_add(&j->next, 1)) < j->events;) {
    uint64_t t = now();
    one(j, s);
    j->took[i] = now() - t;
  }
  free(s->data);
  free(s);
  return NULL;
}

static char *slurp(int fd, size_t *size) {
  size_t room = 1 << 16, n = 0;
  char *data = malloc(room);
  ssize_t r;
  while ((r = read(fd, data + n, room - n)) > 0)
    if ((n += r) == room) data = realloc(data, room *= 2);
  *size = n;
  return data;
}

static unsigned long bytes_read(void) {
  char text[512];
  int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[n < 0 ? 0 : n] = 0;
  unsigned long read = 0;
  sscanf(text, "rchar: %lu", &read);
  return read;
}

static void serve(void) {
  static char line[16384];
  while (fgets(line, sizeof line, stdin)) {
    static struct job j;
    int threads;
    if (sscanf(line, "run %4095s %255s %4095s %ld %d", j.layers, j.point, j.payload_file, &j.events, &threads) != 5) {
      fprintf(stderr, "not a command: %s", line);
      exit(2);
    }
    int fd = open(j.payload_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die(j.payload_file);
    j.payload = slurp(fd, &j.size);
    close(fd);
    j.took = calloc(j.events, sizeof *j.took);
    j.next = 0;
    pthread_barrier_init(&j.start, NULL, threads + 1);
    pthread_t *ids = calloc(threads, sizeof *ids);
    for (int i = 0; i < threads; i++)
      if (pthread_create(&ids[i], NULL, work, &j)) die("pthread_create");
    pthread_barrier_wait(&j.start);
    unsigned long read = bytes_read();
    pthread_barrier_wait(&j.start);
    uint64_t t = now();
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    uint64_t wall = now() - t;
    printf("ok %lu %lu", (unsigned long)wall, bytes_read() - read);
    for (long i = 0; i < j.events; i++) printf(" %lu", (unsigned long)j.took[i]);
    printf("\n");
    fflush(stdout);
    free(ids);
    free(j.took);
    free(j.payload);
  }
}

static void *sleep_on(void *unused) {
  for (;;) pause();
  return unused;
}

static int once(const char *layers, const char *point) {
  size_t size;
  char *payload = slurp(0, &size);
  struct scratch *s = calloc(1, sizeof *s);
  ssize_t n = event(layers, point, payload, size, s);
  if (n < 0) {
    s->data = payload;
    n = size;
  }
  for (ssize_t done = 0; done < n;) {
    ssize_t w = write(1, s->data + done, n - done);
    if (w < 0) return 1;
    done += w;
  }
  return 0;
}

int main(int argc, char **argv) {
  run_dir = getenv("RUN_DIR");
  null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (argc < 2 || !run_dir) {
    fprintf(stderr, "usage: RUN_DIR=DIR limit worker|proc|once ...\n");
    return 2;
  }
  if (!strcmp(argv[1], "once") && argc == 4) return once(argv[2], argv[3]);
  if (!strcmp(argv[1], "proc")) {
    command = argv + 2;
    serve();
    return 0;
  }
  size_t mib = 0;
  int idle = 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--spawn")) use_vfork = !strcmp(argv[i + 1], "vfork");
    if (!strcmp(argv[i], "--rss")) mib = atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--idle")) idle = atoi(argv[i + 1]);
  }
  if (mib) {
    volatile char *resident = malloc(mib << 20);
    for (size_t at = 0; at < mib << 20; at += 4096) resident[at] = 1;
  }
  for (int i = 0; i < idle; i++) {
    pthread_t id;
    if (pthread_create(&id, NULL, sleep_on, NULL)) die("pthread_create");
  }
  serve();
  return 0;
}
