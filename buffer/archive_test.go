package buffer

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headend-agent/internal/metric"
)

// image returns a slot that holds a few small blocks, and how many bytes of it are in use.
func image(t *testing.T) (fsys *memFS, slot *memNode, used int) {
	fsys = newMemFS()
	r := newRig(t, fsys, smallConfig("/disk"), "")
	r.b.Reader("a", Options{})
	for range 4 {
		r.append(5)
		r.commit()
	}
	r.b.Close()
	slot = fsys.files["/disk/v1/slot-0000"]
	for used = len(slot.data); slot.data[used-1] == 0; used-- {
	}
	return fsys, slot, int(pages(int64(used)))
}

// samplesIn reads an archive and checks every value in it against those of the feed of newRig.
func samplesIn(t *testing.T, fsys FS) (n int) {
	t.Helper()
	a, err := openArchive(fsys, "/disk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	err = a.rounds(metric.NewTable(), func(k *book, rounds []round) error {
		for _, r := range rounds {
			for p, id := range k.lists[r.list] {
				number := int(r.seq)/10 + 1
				i := k.series[id].Labels.Get("n")
				want := float64(number*1000+int(i[0]-'0')) / 10
				if number%13 == 0 && i == "0" {
					want = metric.Stale()
				}
				if math.Float64bits(r.values[p]) != math.Float64bits(want) {
					t.Fatalf("series %v of round %d is %v, want %v", k.series[id].Labels, number, r.values[p], want)
				}
				n++
			}
		}
		return nil
	}, func(*segment, *frame, error) {})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTruncationAtEveryByte(t *testing.T) {
	fsys, slot, used := image(t)
	whole := slot.data
	last := 0
	for n := 1; n <= used; n++ {
		slot.data = whole[:n]
		got := samplesIn(t, fsys)
		if got < last {
			t.Fatalf("%d bytes give %d samples; fewer gave %d", n, got, last)
		}
		last = got
	}
	if last != 200 {
		t.Errorf("the whole slot gives %d samples", last)
	}
}

func TestOneFlippedBit(t *testing.T) {
	fsys, slot, used := image(t)
	dict := pageSize // the first frame: without it nothing can be read
	for i := range used {
		bit := byte(1) << (i % 8)
		slot.data[i] ^= bit
		if got := samplesIn(t, fsys); got < 0 || i >= 2*dict && got < 50 {
			t.Fatalf("with byte %d flipped %d samples of 200 are left", i, got)
		}
		slot.data[i] ^= bit
	}
}

func TestInspect(t *testing.T) {
	fsys, slot, _ := image(t)
	slot.data[3*pageSize+headerSize] ^= 1
	a, err := openArchive(fsys, "/disk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	r, err := a.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Slots[0]; len(r.Slots) != 1 || s.Blocks != 4 || s.Damaged != 2 || s.Samples != 100 || r.Cursors[0].Pending != 200 {
		t.Errorf("%+v", r)
	}
}

func TestNothingToInspect(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/nowhere", "archive_test.go"} {
		if _, err := OpenArchive(dir); err == nil {
			t.Errorf("%s passes for a buffer", dir)
		}
	}
}

func TestExport(t *testing.T) {
	fsys, _, _ := image(t)
	a, err := openArchive(fsys, "/disk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var text bytes.Buffer
	written, lost, err := a.Export(&text)
	if err != nil || written != 199 || lost != 0 {
		t.Fatalf("%d written, %d lost, %v", written, lost, err)
	}
	if s := text.String(); strings.Count(s, "# TYPE feed_0 counter\n") != 1 || !strings.HasSuffix(s, "# EOF\n") {
		t.Errorf("text is\n%s", s)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: whether it takes the text is not checked")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "export.txt")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(promtool, "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "blocks")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "blocks", "wal"), 0o700); err != nil { // old versions of dump ask for it
		t.Fatal(err)
	}
	out, err = exec.Command(promtool, "tsdb", "dump", filepath.Join(dir, "blocks")).CombinedOutput()
	if n := strings.Count(string(out), "{__name__="); err != nil || n != 199 {
		t.Errorf("%v: %d samples in the blocks: %s", err, n, out)
	}
}

func FuzzFrame(f *testing.F) {
	b := make([]byte, headerSize)
	(&header{kind: kindBlock, samples: 5, seq: 7}).put(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize { // as if the sum were right
			binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
		}
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		again := make([]byte, headerSize)
		h.put(again)
		if g, err := parseHeader(again); err != nil || g != h {
			t.Errorf("%+v becomes %+v, %v", h, g, err)
		}
	})
}

func FuzzCursors(f *testing.F) {
	r := record{generation: 3, next: 100, epochs: []epochOffset{{5, -7}}, cursors: []cursor{{
		name: "a", note: "n", seen: 1_790_000_000, live: 90, gaps: spans{{1, 5}, {10, 11}}, unsure: spans{{1, 3}},
	}}}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= recordHead { // as if the sum were right: it must not be all that holds damage off
			binary.LittleEndian.PutUint32(b[16:], uint32(len(b)))
			binary.LittleEndian.PutUint32(b[20:], recordSum(b))
		}
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, c := range r.cursors {
			last := uint64(0)
			for _, g := range c.gaps {
				if g.empty() || g.from < last {
					t.Errorf("%+v", c)
				}
				last = g.to
			}
			if last > c.live || c.live > maxNumber {
				t.Errorf("%+v", c)
			}
		}
		if again, err := parseRecord(r.append(nil)); err != nil || len(again.cursors) != min(len(r.cursors), maxCursors) {
			t.Errorf("what is read cannot be written: %v, %d of %d cursors", err, len(again.cursors), len(r.cursors))
		}
	})
}

// FuzzTail lets the log of the tail hold anything.
func FuzzTail(f *testing.F) {
	w := newWorkload(metric.NewTable(), 5)
	k := newBook(1)
	var log []byte
	var pack packer
	w.next(func(m metric.Round) {
		list := k.add(m.Series)
		log = appendFrame(log, header{kind: kindBook, book: 1}, func(b []byte) []byte { return pack.appendBook(b, k, mark{}) })
		log = appendRound(log, 1, &round{list: list, values: m.Values})
	})
	f.Add(log)
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := newMemFS()
		repair(b)
		dir := tailDir(fsys, "/run", "/disk")
		fsys.files[dir+"/rounds"] = &memNode{data: b, dirty: map[int64]bool{}}
		r := newRig(t, fsys, smallConfig("/disk"), "/run")
		d := r.b.Reader("a", Options{})
		r.b.Restamp(metric.Timebase{Boot: 9, Epoch: 2}) // who knows this boot, waits for no other
		r.feed = newFeed(r.table, 3)
		r.append(2)
		for {
			batch := r.tryNext(d, 1000)
			if batch == nil {
				break
			}
			d.Ack(batch, metric.Outcome{Delivered: batch.Count})
		}
		r.b.Close()
	})
}

// repair makes the sums of frames right, so that they are not all that holds damage off.
func repair(b []byte) {
	for len(b) >= headerSize {
		n := int(min(uint64(binary.LittleEndian.Uint32(b[8:])), uint64(len(b)-headerSize)))
		binary.LittleEndian.PutUint32(b[12:], checksum(b[headerSize:headerSize+n]))
		binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
		b = b[headerSize+n:]
	}
}
