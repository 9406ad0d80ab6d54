// Package buffer keeps every round until each destination has acknowledged it, within bounds.
//
// New rounds are hot: in memory as they came, and in the tail, a log on tmpfs. From there they are either acknowledged and gone, or
// sealed into blocks, a few dozen at a time. Blocks fill segments; while a destination is late, segments are written to the slots
// of the ring on disk. Samples are numbered in the order of their coming, and everything here is said in those numbers: what
// a block holds, how far a destination is, what is missing.
package buffer

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"headend-agent/internal/metric"
)

// Buffer is one ring that serves all destinations. Its methods may be called from any goroutine.
type Buffer struct {
	cfg    Config
	table  *metric.Table
	log    *slog.Logger
	fs     FS
	pack   packer
	wall   func() time.Time
	opened time.Time
	stop   chan struct{}
	wake   chan struct{}
	done   sync.WaitGroup
	io     diskLock // held while the disk is written; taken before mu

	mu       sync.Mutex
	book     *book
	live     map[metric.SourceID]int // series of each source's newest rounds
	writer   blockWriter
	scratch  []byte
	chain    int // blocks and bytes since the last key block
	chained  int
	hot      []hotRound // oldest first, all in book's numbers
	segments []*segment // oldest first, none empty
	open     *segment   // takes the next block; nil before the first one
	next     uint64     // number of the next sample
	nextLap  uint64
	memory   int           // bytes of hot and of payloads in memory
	epochs   []epochOffset // in the order in which they became known
	stamps   uint64        // changes of epochs, ever
	boot     metric.Epoch  // of rounds of this boot that are not stamped; 0 while nobody has said
	restored uint64        // number after those of the samples that earlier processes have left
	readers  map[string]*Reader
	dormant  []cursor      // of destinations that are not configured
	grown    chan struct{} // closed, and made anew, when a reader may find something new
	outdated chan struct{} // closed, and made anew, when the times in batches change
	appends  uint64        // samples appended, ever
	disk     diskState
	tail     *tail
	tailDir  string // "" where there is no place for one

	tailChecked time.Time // when its directory was last looked for
	tailUnread  bool      // an earlier process may have left something in it, but it cannot be opened
	record      record    // the newest that was found
	past        uint64    // while tailUnread: samples from here on are of this process
	renumbered  uint64    // by how much numbers were moved since the start
	stranded    []*ring   // directories that are gone, but hold samples that are still to be read
	unexplained bool      // a sample was missing that nothing explains; it has been said
}

type hotRound struct {
	round
	at time.Time // of the Append
}

// Append takes a round. It never blocks on a disk and never fails the caller: what there is no room for displaces the
// oldest, which is counted as a loss of each destination that has not had it.
func (b *Buffer) Append(r metric.Round) {
	if len(r.Values) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Unset {
		b.boot = r.Epoch
	}
	// Rounds with times of the source's own are small ones among large ones.
	b.live[r.Source] = max(len(r.Series), b.live[r.Source]*7/8)
	b.appendRound(r)
	b.signal()
}

// appendRound takes a round in pieces that fit a block each.
func (b *Buffer) appendRound(r metric.Round) {
	list, ok := b.book.find(r.Series)
	if !ok {
		if list, ok = b.enter(r.Series); !ok {
			half := len(r.Series) / 2
			first, second := r, r
			first.Series, first.Values = r.Series[:half:half], r.Values[:half]
			second.Series, second.Values = r.Series[half:], r.Values[half:]
			b.appendRound(first)
			b.appendRound(second)
			return
		}
	}
	b.appends += uint64(len(r.Values))
	b.keep(hotRound{round{
		seq: b.next, timeMs: r.TimeMs, startMs: r.StartMs, epoch: r.Epoch, unset: r.Unset, list: list, values: slices.Clone(r.Values),
	}, time.Now()})
	if b.tail != nil && !b.tail.broken {
		b.tailed(b.tail.append(b.book, &b.pack, &b.hot[len(b.hot)-1].round))
		b.trimTail()
	}
	b.bound()
}

// keep makes a round the newest hot one.
func (b *Buffer) keep(r hotRound) {
	if n := b.hotSamples() + len(r.values); n > maxBlockSamples && n > 2*b.living() { // in good times there are not so many
		b.seal()
	}
	b.hot = append(b.hot, r)
	b.memory += cost(&r.round)
	b.next = r.seq + uint64(len(r.values))
}

// living is how many series the rounds of all sources have, about.
func (b *Buffer) living() (n int) {
	for _, series := range b.live {
		n += series
	}
	return n
}

func (b *Buffer) hotSamples() int {
	if len(b.hot) == 0 {
		return 0
	}
	return int(b.next - b.hot[0].seq)
}

func cost(r *round) int { return 96 + 8*len(r.values) }

// Bounds of a dictionary: it has to leave a slot room for a block.
const (
	maxBookPacked = 384 << 10
	staleSeries   = 4096 // so many more than twice the living ones, and a new book is begun
	staleEntries  = 64 << 10
)

// enter finds a list in the book, or makes it. It is false where the series are too many for one book: they have to be split.
func (b *Buffer) enter(refs []metric.Ref) (list uint32, ok bool) {
	if len(refs) > maxBlockSamples {
		return 0, false
	}
	living := b.living()
	if len(b.book.series) > 2*living+staleSeries || b.book.entries > 16*living+staleEntries {
		b.rotate(b.book.id + 1)
	}
	return b.enterInto(refs)
}

func (b *Buffer) enterInto(refs []metric.Ref) (list uint32, ok bool) {
	list = b.book.add(refs)
	if b.book.fits(&b.pack) {
		return list, true
	}
	b.rotate(b.book.id + 1)
	list = b.book.add(refs)
	return list, b.book.fits(&b.pack) || len(refs) == 1
}

// rotate begins a new dictionary.
func (b *Buffer) rotate(id uint32) {
	b.seal()
	b.book = newBook(id)
}

func (b *Buffer) signal() {
	close(b.grown)
	b.grown = make(chan struct{})
}
