// A driver library that says what a script says. Tests compile it, load it by dlopen as the real one, and change the script while
// it is in use. The script is the file LIBRARY.script: lines KEY=NUMBER or KEY=WORD, where KEY is CALL, CALL.FIELD or DEVICE.KEY for
// one device alone. CALL.code is the return code, CALL.do one of hang, crash, chat, leak. A call whose value the script lacks is
// NOT_SUPPORTED. With -DOLD_DRIVER the functions of later releases are missing. An orderly end is noted in LIBRARY.log.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10 };
enum { DEVICES = 8, KEYS = 256, SLOTS = 1024 };

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct device { int index; } *device_t;

static struct device devices[DEVICES];
static struct { char key[64], value[96]; } script[KEYS];
static short slots[SLOTS]; // of a hash table: 1 + place in the script, 0 for none; the fake is to cost little beside the calls

// beside returns the name of a file beside the library.
static const char *beside(const char *suffix) {
  static char path[4096];
  Dl_info self;
  if (!dladdr((void *)beside, &self)) return NULL;
  snprintf(path, sizeof path, "%s%s", self.dli_fname, suffix);
  return path;
}

// slot returns where the key is, or would be.
static short *slot(const char *key) {
  u32 h = 2166136261u;
  for (const char *c = key; *c; c++) h = (h ^ (unsigned char)*c) * 16777619u;
  while (slots[h % SLOTS] && strcmp(script[slots[h % SLOTS] - 1].key, key)) h++;
  return &slots[h % SLOTS];
}

// reread takes in the script where it is another file than before. It is done where a reading of all devices begins.
static void reread(void) {
  static struct stat before;
  static char path[4096];
  struct stat st;
  if (!*path) snprintf(path, sizeof path, "%s", beside(".script"));
  if (stat(path, &st)) return;
  if (st.st_ino == before.st_ino && st.st_size == before.st_size && st.st_mtim.tv_nsec == before.st_mtim.tv_nsec) return;
  FILE *f = fopen(path, "r");
  if (!f) return;
  before = st;
  memset(slots, 0, sizeof slots);
  for (int keys = 0; keys < KEYS && fscanf(f, " %63[^=]=%95[^\n]", script[keys].key, script[keys].value) == 2;) {
    short *s = slot(script[keys++].key);
    if (!*s) *s = (short)keys;
  }
  fclose(f);
}

static const char *find(const char *key) {
  short s = *slot(key);
  return s ? script[s - 1].value : NULL;
}

// text returns what the script says of a device's field; d may be NULL.
static const char *text(device_t d, const char *call, const char *field) {
  char key[128], *general = key + 2;
  char *end = stpcpy(general, call);
  if (*field) stpcpy(stpcpy(end, "."), field);
  key[0] = d ? (char)('0' + d->index) : 0;
  key[1] = '.';
  const char *v = d ? find(key) : NULL;
  return v ? v : find(general);
}

static u64 number(device_t d, const char *call, const char *field) {
  const char *v = text(d, call, field);
  return v ? strtoull(v, NULL, 10) : 0;
}

// enter does what the script wants of a call and returns its code.
static int enter(device_t d, const char *call) {
  const char *what = text(d, call, "do");
  if (what && !strcmp(what, "hang")) for (;;) pause();
  if (what && !strcmp(what, "crash")) *(volatile int *)8 = 1;
  if (what && !strcmp(what, "chat")) // more than a pipe holds
    for (int i = 0; i < 20000; i++) puts("the fake has something to say"), fflush(stdout);
  if (what && !strcmp(what, "leak")) {
    char *p = malloc(16 << 20);
    if (p) memset(p, 1, 16 << 20);
  }
  const char *lost = text(d, "lost", "");
  if (d && lost) return atoi(lost);
  const char *code = text(d, call, "code");
  return code ? atoi(code) : OK;
}

// value is enter for calls that yield one number.
static int value(device_t d, const char *call, u64 *out) {
  int code = enter(d, call);
  if (code != OK) return code;
  if (!text(d, call, "")) return NOT_SUPPORTED;
  *out = number(d, call, "");
  return OK;
}

static int value32(device_t d, const char *call, u32 *out) {
  u64 v = 0;
  int code = value(d, call, &v);
  if (code == OK) *out = (u32)v;
  return code;
}

int nvmlInit_v2(void) {
  reread();
  return enter(NULL, "Init");
}
int nvmlShutdown(void) {
  usleep((unsigned)number(NULL, "Shutdown", "us"));
  FILE *f = fopen(beside(".log"), "a");
  if (f) fputs("shutdown\n", f), fclose(f);
  return OK;
}
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "an error of the fake"; }

static int copy(device_t d, const char *call, char *out, u32 size) {
  int code = enter(d, call);
  const char *v = text(d, call, "");
  if (code != OK) return code;
  if (!v) return NOT_SUPPORTED;
  snprintf(out, size, "%s", v);
  return OK;
}

int nvmlSystemGetDriverVersion(char *v, u32 n) { return copy(NULL, "SystemGetDriverVersion", v, n); }
int nvmlDeviceGetCount_v2(u32 *n) {
  reread();
  return value32(NULL, "DeviceGetCount", n);
}
int nvmlDeviceGetHandleByIndex_v2(u32 i, device_t *d) {
  if (i >= DEVICES) return INVALID;
  devices[i].index = (int)i;
  *d = &devices[i];
  return enter(*d, "DeviceGetHandleByIndex");
}
int nvmlDeviceGetUUID(device_t d, char *v, u32 n) { return copy(d, "GetUUID", v, n); }
int nvmlDeviceGetName(device_t d, char *v, u32 n) { return copy(d, "GetName", v, n); }

typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
static int pci(device_t d, pci_t *p) {
  memset(p, 0, sizeof *p);
  p->domain = (u32)number(d, "domain", "");
  p->bus = text(d, "bus", "") ? (u32)number(d, "bus", "") : (u32)(0x3b + d->index);
  return OK;
}
#ifdef OLD_DRIVER
int nvmlDeviceGetPciInfo_v2(device_t d, pci_t *p) { return pci(d, p); }
#else
int nvmlDeviceGetPciInfo_v3(device_t d, pci_t *p) { return pci(d, p); }
#endif

#define ENGINE(name) int nvmlDevice##name(device_t d, u32 *v, u32 *period) { *period = 167000; return value32(d, #name, v); }
#define SIMPLE(name) int nvmlDevice##name(device_t d, u32 *v) { return value32(d, #name, v); }
ENGINE(GetEncoderUtilization)
ENGINE(GetDecoderUtilization)
SIMPLE(GetPowerUsage)
SIMPLE(GetEnforcedPowerLimit)
SIMPLE(GetFanSpeed)
int nvmlDeviceGetTotalEnergyConsumption(device_t d, u64 *v) { return value(d, "GetTotalEnergyConsumption", v); }
int nvmlDeviceGetTemperature(device_t d, int sensor, u32 *v) { return sensor ? INVALID : value32(d, "GetTemperature", v); }
int nvmlDeviceGetUtilizationRates(device_t d, u32 *v) {
  v[1] = (u32)number(d, "GetUtilizationRates", "memory");
  return value32(d, "GetUtilizationRates", &v[0]);
}

static const char *const codecs[] = {"h264", "hevc", "av1"};
int nvmlDeviceGetEncoderCapacity(device_t d, int codec, u32 *v) {
  int code = enter(d, "GetEncoderCapacity");
  if (code != OK) return code;
  if (codec < 0 || codec > 2) return INVALID;
  if (!text(d, "GetEncoderCapacity", codecs[codec])) return NOT_SUPPORTED;
  *v = (u32)number(d, "GetEncoderCapacity", codecs[codec]);
  return OK;
}
int nvmlDeviceGetEncoderStats(device_t d, u32 *n, u32 *fps, u32 *latency) {
  *fps = (u32)number(d, "GetEncoderStats", "fps");
  *latency = (u32)number(d, "GetEncoderStats", "latency");
  return value32(d, "GetEncoderStats", n);
}
typedef struct { u32 id, pid, vgpu, codec, width, height, fps, latency; } session_t;
int nvmlDeviceGetEncoderSessions(device_t d, u32 *n, session_t *s) {
  int code = enter(d, "GetEncoderSessions");
  if (code != OK) return code;
  if (!text(d, "GetEncoderSessions", "h264")) return NOT_SUPPORTED;
  u32 room = *n, used = 0;
  for (u32 c = 0; c < 3; c++)
    for (u64 k = number(d, "GetEncoderSessions", codecs[c]); k > 0; k--, used++)
      if (used < room) s[used] = (session_t){.id = used, .codec = c};
  *n = used;
  return used > room ? TOO_SMALL : OK;
}

typedef struct { u64 total, free, used; } memory_t;
int nvmlDeviceGetMemoryInfo(device_t d, memory_t *m) {
  m->used = number(d, "GetMemoryInfo", "used") + number(d, "GetMemoryInfo", "reserved");
  return value(d, "GetMemoryInfo", &m->total);
}
static const char *const domains[] = {"graphics", "sm", "memory", "video"};
static int clock_of(device_t d, const char *call, int domain, u32 *v) {
  int code = enter(d, call);
  if (code != OK) return code;
  if (domain > 3 || !text(d, call, domains[domain])) return NOT_SUPPORTED;
  *v = (u32)number(d, call, domains[domain]);
  return OK;
}
int nvmlDeviceGetClockInfo(device_t d, int domain, u32 *v) { return clock_of(d, "GetClockInfo", domain, v); }
int nvmlDeviceGetMaxClockInfo(device_t d, int domain, u32 *v) { return clock_of(d, "GetMaxClockInfo", domain, v); }
int nvmlDeviceGetTotalEccErrors(device_t d, int kind, int counter, u64 *v) {
  int code = enter(d, "GetTotalEccErrors");
  const char *field = kind ? "uncorrected" : "corrected";
  if (code != OK) return code;
  if (counter != 1 || !text(d, "GetTotalEccErrors", field)) return NOT_SUPPORTED;
  *v = number(d, "GetTotalEccErrors", field);
  return OK;
}

#ifndef OLD_DRIVER
ENGINE(GetJpgUtilization)
ENGINE(GetOfaUtilization)

typedef struct { u32 version; u64 total, reserved, free, used; } memory2_t;
int nvmlDeviceGetMemoryInfo_v2(device_t d, memory2_t *m) {
  if (m->version != (sizeof *m | 2 << 24)) return 25;
  int code = enter(d, "GetMemoryInfo_v2");
  if (code != OK) return code;
  m->used = number(d, "GetMemoryInfo", "used");
  m->reserved = number(d, "GetMemoryInfo", "reserved");
  return value(d, "GetMemoryInfo", &m->total);
}
typedef struct { u32 version; int margin; } margin_t;
int nvmlDeviceGetMarginTemperature(device_t d, margin_t *m) { return value32(d, "GetMarginTemperature", (u32 *)&m->margin); }

// The buffer of utilization samples: GetSamples.KIND is a list of TIME:VALUE, or of VALUEs that are new at each reading, 20 ms apart.
typedef struct { u64 time, value; } sample_t;
static u64 clock_us;
static const char *const kinds[] = {"", "gpu", "memory", "enc", "dec", "", "", "", "jpeg", "ofa"};
int nvmlDeviceGetSamples(device_t d, int kind, u64 since, int *type, u32 *n, sample_t *out) {
  int code = enter(d, "GetSamples");
  if (code != OK) return code;
  const char *v = kind < 10 ? text(d, "GetSamples", kinds[kind]) : NULL;
  if (!v) return NOT_SUPPORTED;
  *type = 1;
  if (!out) {
    *n = 100;
    return OK;
  }
  if (clock_us < since) clock_us = since;
  u32 used = 0;
  for (char *end; used < *n && *v; v = *end ? end + 1 : end) {
    u64 time = clock_us += 20000, value = strtoull(v, &end, 10);
    if (*end == ':') time = value, value = strtoull(end + 1, &end, 10);
    if (time > since) out[used++] = (sample_t){time, value};
  }
  *n = used;
  return used ? OK : NOT_FOUND;
}

typedef struct { u32 id, scope; long long time, latency; u32 type, code; u64 value; } field_t;
int nvmlDeviceGetFieldValues(device_t d, int n, field_t *f) {
  int code = enter(d, "GetFieldValues");
  for (int i = 0; code == OK && i < n; i++) {
    char id[16], call[32];
    snprintf(id, sizeof id, "%u", f[i].id);
    snprintf(call, sizeof call, "GetFieldValues.%u", f[i].id);
    f[i].code = text(d, call, "code") ? (int)number(d, call, "code") : text(d, "GetFieldValues", id) ? OK : NOT_SUPPORTED;
    f[i].type = f[i].id == 82 ? 1 : 3;
    f[i].value = number(d, "GetFieldValues", id);
  }
  return code;
}

// Events: xid=NUMBER in the script is one event for each new number of xid.seq.
typedef struct { device_t device; u64 type, data; u32 gpu_instance, compute_instance; } event_t;
int nvmlEventSetCreate(void **set) { *set = &clock_us; return enter(NULL, "EventSetCreate"); }
int nvmlEventSetFree(void *set) { (void)set; return OK; }
int nvmlDeviceRegisterEvents(device_t d, u64 types, void *set) { (void)types, (void)set; return enter(d, "RegisterEvents"); }
int nvmlEventSetWait_v2(void *set, event_t *e, u32 ms) {
  static u64 seen;
  (void)set, (void)ms;
  int code = enter(NULL, "EventSetWait");
  u64 seq = number(NULL, "xid", "seq");
  if (code != OK) return code;
  if (seq <= seen) return TIMEOUT;
  seen++;
  *e = (event_t){.device = &devices[number(NULL, "xid", "device")], .type = 8, .data = number(NULL, "xid", "")};
  return OK;
}
#endif
