"""The rows of the table, in its order."""

KINDS = (
    INTERRUPT := "interrupt",
    ONCE := "out of memory, once",
    ALWAYS := "out of memory, from then on",
    ERROR := "an unexpected error",
    FULL := "a full disk",
)
KILL = "SIGKILL of the server"
RUNS = "runs in one process"
QUEUE = "prompts of many clients, some bad or cancelled"
INPUTS = "wrong inputs"
NAMES = "file names"
ADDRESSES = "addresses of files elsewhere"
PROGRAMS = "weights that are programs"
SCRIPTS = "captions that are scripts"
ROWS = (*KINDS, KILL, RUNS, QUEUE, INPUTS, NAMES, ADDRESSES, PROGRAMS, SCRIPTS)
