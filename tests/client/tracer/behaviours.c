/* A position-independent AArch64 program without libraries that does what is
 * asked of it: for the tests of `perfvec trace run`. behaviours.elf is made by
 *
 *   aarch64-linux-gnu-gcc -O1 -fpie -ffreestanding -nostdlib -static-pie \
 *     -Wl,-z,noseparate-code,-z,max-page-size=4096,--build-id=none \
 *     -fno-stack-protector \
 *     -fno-asynchronous-unwind-tables -o behaviours.elf behaviours.c */
typedef unsigned long word;

static long System(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                   : "memory");
  return x0;
}

enum { FSTATAT = 79, EXIT = 93, EXIT_GROUP = 94, YIELD = 124, KILL = 129, SIGACTION = 134 };
enum { GETPID = 172, CLONE = 220, EXECVE = 221, WAIT4 = 260 };

static volatile word sum, done;

__attribute__((noinline)) void Work(word n) {
  for (word i = 0; i < n; i++) sum += i;
}

__attribute__((noinline)) void WorkAtRandom(word n) {
  static volatile char table[1 << 22];
  for (word i = 0, x = 88172645463325252; i < n; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sum += table[x >> 42];
  }
}

__attribute__((noinline)) void WorkOfThread(void) {
  Work(1000);
  done = 1;
}

__attribute__((noinline)) void WorkOfChild(void) { Work(1000); }
__attribute__((noinline)) void WorkOfParent(void) { Work(1000); }
__attribute__((noinline)) void Handler(int number) { done = number; }

static void StartThread(void) {
  static char stack[8192] __attribute__((aligned(16)));
  register long x8 __asm__("x8") = CLONE;
  register long x0 __asm__("x0") = 0x50f00; /* VM FS FILES SIGHAND THREAD */
  register long x1 __asm__("x1") = (long)(stack + sizeof(stack));
  __asm__ volatile(
      "svc #0\n"
      "cbnz x0, 1f\n"
      "bl WorkOfThread\n"
      "mov x8, #93\n"
      "svc #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1)
      : "memory", "x2", "x3", "x4", "x5", "x6", "x7", "x9", "x10", "x30");
}

static void Restorer(void) { __asm__ volatile("mov x8, #139\nsvc #0"); }

long Run(char what, char** argv) {
  Work(100);
  if (what == 't') { /* a thread */
    StartThread();
    while (!done) System(YIELD, 0, 0, 0, 0);
    WorkOfParent();
    return 0;
  }
  if (what == 'f' || what == 'e') { /* a child; one that runs a program */
    const long child = System(CLONE, 17, 0, 0, 0);
    if (child == 0) {
      WorkOfChild();
      char* none[] = {0};
      if (what == 'e')
        System(EXECVE, (long)argv[2], (long)(argv + 2), (long)none, 0);
      return 7;
    }
    int status = 0;
    System(WAIT4, child, (long)&status, 0, 0);
    WorkOfParent();
    return status >> 8;
  }
  if (what == 's') { /* a signal that is handled */
    struct {
      void (*handler)(int);
      word flags;
      void (*restorer)(void);
      word mask;
    } action;
    action.handler = Handler; /* no table of addresses: nothing moves it */
    action.flags = 0x04000000;
    action.restorer = Restorer;
    action.mask = 0;
    System(SIGACTION, 10, (long)&action, 0, 8);
    System(KILL, System(GETPID, 0, 0, 0, 0), 10, 0, 0);
    while (!done) System(YIELD, 0, 0, 0, 0);
    WorkOfParent();
    return 0;
  }
  if (what == 'g') *(volatile word*)16 = sum; /* a fault */
  if (what == 'k') System(KILL, System(GETPID, 0, 0, 0, 0), 9, 0, 0);
  if (what == 'o') { /* what its standard output is; the error */
    static char status[128];
    return -System(FSTATAT, 1, (long)"", (long)status, 0x1000);
  }
  if (what == 'l') WorkAtRandom(4000000); /* a trace of many bytes */
  return 0;
}

__attribute__((noreturn)) void Start(word* stack) {
  char** argv = (char**)(stack + 1);
  System(EXIT_GROUP, Run(argv[1] ? argv[1][0] : 0, argv), 0, 0, 0);
  for (;;) {
  }
}

__asm__(".globl _start\n_start: mov x0, sp\nbl Start");
