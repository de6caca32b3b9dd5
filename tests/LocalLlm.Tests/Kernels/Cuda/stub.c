// Stands in for NVIDIA's driver and its runtime compiler, under their real names: memory is the process's, compiled code is the text of what was
// asked for, a launch is a call of the tests' own function. It notes every call, and refuses what the driver would refuse.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*launcher)(const char* name, const char* code, unsigned x, unsigned y, unsigned z, unsigned threads, void* parameter);

static char notes[1 << 20];
static int capability = 80, launch_result, compile_result, depth;
static launcher launch;
static char* pinned;
static size_t pinned_bytes, events;

static void note(const char* text)
{
    if (strlen(notes) + strlen(text) + 2 < sizeof notes)
        strcat(strcat(notes, text), "\n");
}

const char* stub_notes(void) { return notes; }

void stub_configure(int device_capability, int result_of_launch, int result_of_compile, launcher function)
{
    capability = device_capability;
    launch_result = result_of_launch;
    compile_result = result_of_compile;
    launch = function;
    depth = 0;
    events = 0;
    notes[0] = 0;
}

// The driver. 201: no context; 1: an argument is wrong.
#define NEEDS_CONTEXT if (depth < 1) return 201

int cuInit(unsigned flags) { note("cuInit"); return flags != 0; }
int cuDriverGetVersion(int* version) { *version = 12080; return 0; }
int cuGetErrorName(int error, const char** text) { *text = error == 701 ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES" : "CUDA_ERROR_OTHER"; return 0; }
int cuGetErrorString(int error, const char** text) { *text = error == 701 ? "too many resources requested for launch" : "other"; return 0; }
int cuDeviceGet(int* device, int index) { *device = 40 + index; return index < 0 || index > 1 ? 101 : 0; }
int cuDeviceGetName(char* name, int length, int device) { snprintf(name, length, "Stub %d", device); return 0; }

int cuDeviceGetAttribute(int* value, int attribute, int device)
{
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 132 : -1;
    return *value < 0 || device < 40;
}

int cuDevicePrimaryCtxRetain(void** context, int device) { note("retain"); *context = (void*)(size_t)(1000 + device); return device < 40; }
int cuDevicePrimaryCtxRelease_v2(int device) { note("release"); return device < 40; }
int cuCtxPushCurrent_v2(void* context) { depth++; return (size_t)context < 1040; }
int cuCtxPopCurrent_v2(void** context) { NEEDS_CONTEXT; depth--; *context = 0; return 0; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { NEEDS_CONTEXT; *free = (size_t)5 << 32; *total = (size_t)6 << 32; return 0; }
int cuModuleLoadData(void** module, const void* image) { NEEDS_CONTEXT; note("load"); *module = strdup(image); return 0; }
int cuModuleUnload(void* module) { NEEDS_CONTEXT; note("unload"); free(module); return 0; }

struct function { const char* code; char name[64]; };

int cuModuleGetFunction(void** result, void* module, const char* name)
{
    NEEDS_CONTEXT;
    if (!strstr(module, name))
        return 500;
    struct function* function = malloc(sizeof *function);
    function->code = module;
    snprintf(function->name, sizeof function->name, "%s", name);
    *result = function;
    return 0;
}

int cuLaunchKernel(void* f, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y, unsigned threads_z, unsigned shared,
    void* stream, void** parameters, void** extra)
{
    NEEDS_CONTEXT;
    struct function* function = f;
    if (launch_result || threads_y != 1 || threads_z != 1 || shared || stream || extra || !parameters)
        return launch_result ? launch_result : 1;
    char text[128];
    snprintf(text, sizeof text, "launch %s %u %u %u of %u", function->name, x, y, z, threads);
    note(text);
    if (launch)
        launch(function->name, function->code, x, y, z, threads, parameters[0]);
    return 0;
}

int cuMemcpyHtoDAsync_v2(void* target, const void* source, size_t bytes, void* stream)
{
    NEEDS_CONTEXT;
    char text[64];
    snprintf(text, sizeof text, "copy %zu", bytes);
    note(text);
    if ((const char*)source < pinned || (const char*)source + bytes > pinned + pinned_bytes)
        return 1; // the driver might wait
    memcpy(target, source, bytes);
    return stream != 0;
}

int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags)
{
    NEEDS_CONTEXT;
    note("pin");
    *memory = pinned = malloc(bytes);
    pinned_bytes = bytes;
    return flags;
}

int cuMemFreeHost(void* memory) { NEEDS_CONTEXT; note("unpin"); free(memory); return 0; }

// An event is a number, which the notes hold.
int cuEventCreate(void** event, unsigned flags) { NEEDS_CONTEXT; *event = (void*)(size_t)++events; return flags != 2; }
int cuEventDestroy_v2(void* event) { NEEDS_CONTEXT; events--; return !event; }

static int note_event(const char* what, void* event)
{
    NEEDS_CONTEXT;
    char text[64];
    snprintf(text, sizeof text, "%s %zu", what, (size_t)event);
    note(text);
    return !event;
}

int cuEventRecord(void* event, void* stream) { return stream ? 1 : note_event("record", event); }
int cuEventSynchronize(void* event) { return note_event("wait", event); }

// The compiler. Its code is the name, the options and the headers' names, a line each.
struct program { char code[4096]; size_t bytes; int is_ptx; };

int nvrtcVersion(int* major, int* minor) { *major = 12; *minor = 8; return 0; }
const char* nvrtcGetErrorString(int error) { return error == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER"; }
int nvrtcGetNumSupportedArchs(int* count) { *count = 3; return 0; }
int nvrtcGetSupportedArchs(int* architectures) { architectures[0] = 75; architectures[1] = 80; architectures[2] = 90; return 0; }

int nvrtcCreateProgram(struct program** result, const char* source, const char* name, int headers, const char** texts, const char** names)
{
    struct program* program = calloc(1, sizeof *program);
    snprintf(program->code, sizeof program->code, "%s\n", name);
    for (int i = 0; i < headers; i++)
    {
        if (!strchr(texts[i], '#'))
            return 3;
        strcat(strcat(program->code, names[i]), "\n");
    }
    *result = program;
    return strstr(source, "KERNEL ") ? 0 : 3;
}

int nvrtcDestroyProgram(struct program** program) { free(*program); *program = 0; return 0; }

int nvrtcCompileProgram(struct program* program, int count, const char** options)
{
    note("compile");
    for (int i = 0; i < count; i++)
    {
        strcat(strcat(program->code, options[i]), "\n");
        program->is_ptx |= strstr(options[i], "--gpu-architecture=compute_") != 0;
    }
    program->bytes = strlen(program->code) + 1;
    return compile_result;
}

static const char log_text[] = "page.cuh(7): error: expected a \";\"\n";
int nvrtcGetProgramLogSize(struct program* program, size_t* bytes) { *bytes = sizeof log_text; return program == 0; }
int nvrtcGetProgramLog(struct program* program, char* log) { memcpy(log, log_text, sizeof log_text); return program == 0; }
int nvrtcGetCUBINSize(struct program* program, size_t* bytes) { *bytes = program->bytes; return program->is_ptx; }
int nvrtcGetCUBIN(struct program* program, char* code) { memcpy(code, program->code, program->bytes); return program->is_ptx; }
int nvrtcGetPTXSize(struct program* program, size_t* bytes) { *bytes = program->bytes; return !program->is_ptx; }
int nvrtcGetPTX(struct program* program, char* code) { memcpy(code, program->code, program->bytes); return !program->is_ptx; }
