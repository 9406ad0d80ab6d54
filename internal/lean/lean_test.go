package lean

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00410000 r--p 00000000 fe:00 1234      /opt/the agent
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
00410000-00c49000 r-xp 00010000 fe:00 1234      /opt/the agent
Anonymous:             0 kB
Swap:                  0 kB
00c49000-01555000 r--p 00849000 fe:00 1234      /opt/the agent
Anonymous:             4 kB
Swap:                  0 kB
01553000-01555000 r--p 01153000 fe:00 1234      /opt/the agent
Anonymous:             0 kB
Swap:                  8 kB
01555000-0160d000 rw-p 01155000 fe:00 1234      /opt/the agent
Anonymous:             0 kB
Swap:                  0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f0000004000-7f0000005000 r--p 00000000 00:00 0 [anon:of a/library]
Anonymous:             0 kB
Swap:                  0 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
Swap:                  0 kB
7ffd00002000-7ffd00003000 r--s 00000000 00:01 7 /dev/shm/shared
Anonymous:             0 kB
Swap:                  0 kB
`
	got := cleanMappings(strings.NewReader(smaps))
	want := []mapping{{0x400000, 0xc49000}, {0x7f0000000000, 0x7f0000001000}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// A file of some size is in the page cache in large folios, where the kernel has them.
func TestPagesComeBackPieceByPiece(t *testing.T) {
	const size = 8 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte("headend "), size/8)); err != nil {
		t.Fatal(err)
	}
	text, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(text)
	touchAll := func() {
		for i := 0; i < size; i += os.Getpagesize() {
			if text[i] != 'h' {
				t.Fatalf("byte %d is %q", i, text[i])
			}
		}
	}
	touchAll()
	if got := resident(t, f.Name()); got != size {
		t.Fatalf("%d bytes are resident, want all %d", got, size)
	}
	Out()
	if got := resident(t, f.Name()); got != 0 {
		t.Errorf("%d bytes are still resident", got)
	}
	touched := text[size/2]
	if got := resident(t, f.Name()); touched != 'h' || got == 0 || got > 2*piece {
		t.Errorf("one byte, %q, brought %d", touched, got)
	}
	Out() // a second time, over the pieces
	touchAll()
	if got := resident(t, f.Name()); got != size {
		t.Errorf("%d bytes are resident, want all %d", got, size)
	}
}

// A debugger finds the program of a core dump by the headers in the first page of its file, which the kernel dumps unless told not to.
func TestCoreDumpsKeepTheProgramsName(t *testing.T) {
	Out()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	headers, seen, pieces := false, false, 0
	for line := range strings.Lines(string(smaps)) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(f[0], ":"):
			headers = len(f) == 6 && f[5] == program && f[2] == "00000000"
			seen = seen || headers
		case f[0] == "VmFlags:":
			left := strings.Contains(line, " dd")
			if left {
				pieces++
			}
			if headers && left {
				t.Errorf("the first page is left out: %s", line)
			}
		}
	}
	if !seen || pieces == 0 {
		t.Errorf("the program's first page is mapped: %v; %d pieces are cut", seen, pieces)
	}
}

// resident is how much of a file's mappings is resident in this process, bytes.
func resident(t *testing.T, file string) (sum int) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for line := range strings.Lines(string(smaps)) {
		f := strings.Fields(line)
		if !strings.HasSuffix(f[0], ":") {
			ours = strings.HasSuffix(strings.TrimSpace(line), file)
		}
		if ours && f[0] == "Rss:" {
			kib, _ := strconv.Atoi(f[1])
			sum += kib << 10
		}
	}
	return sum
}

func TestOutLeavesTheProcessWorking(t *testing.T) {
	for range 3 {
		Out()
	}
}
