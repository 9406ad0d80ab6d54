package nvmlchild

import (
	"reflect"
	"testing"
)

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00410000 r--p 00000000 fe:00 1234      /opt/the agent
Rss:                  64 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00410000-00c49000 r-xp 00010000 fe:00 1234      /opt/the agent
Anonymous:             0 kB
00c49000-01555000 r--p 00849000 fe:00 1234      /opt/the agent
Anonymous:             4 kB
01555000-0160d000 rw-p 01155000 fe:00 1234      /opt/the agent
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
7ffd00002000-7ffd00003000 r--s 00000000 00:01 7 /dev/shm/shared
Anonymous:             0 kB
`
	got := cleanMappings(smaps)
	want := []mapping{{0x400000, 0x410000}, {0x410000, 0xc49000}, {0x7f0000000000, 0x7f0000001000}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
