package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"unsafe"

	"headend-agent/internal/metric"
)

// book numbers series, and the lists of series that rounds have. Blocks are written in its numbers; what it says goes in pieces
// before the blocks that need it. A book only grows. When most of it is of the past, the buffer begins a new one.
type book struct {
	id     uint32
	series []metric.Ref
	lists  [][]uint32 // of numbers of series

	// For the writer only; see add.
	numbers map[metric.Ref]uint32 // of series; nil while every list is found: it is larger than they are
	founds  int                   // lists that were found since the last one that was not
	known   map[sliceID]knownList
	equal   map[uint64]uint32 // by hash, a list
	seed    maphash.Seed
	entries int // of all lists
	bytes   int // of what since would yield, about
	checked int // of them: so many are known to fit
}

// sliceID is a slice by identity. As the slice is kept beside it, no other can come to the same address.
type sliceID struct {
	data *metric.Ref
	n    int
}

type knownList struct {
	refs []metric.Ref
	list uint32
}

func newBook(id uint32) *book {
	return &book{id: id, known: map[sliceID]knownList{}, equal: map[uint64]uint32{}, seed: maphash.MakeSeed()}
}

// maxKnown bounds the slices that are recognised by identity.
const maxKnown = 256

// keepNumbers is after how many lists in a row that were found the numbers are given up: those with times of their own never are.
const keepNumbers = 256

// find returns the list that stands for refs, if it is recognised.
func (k *book) find(refs []metric.Ref) (list uint32, ok bool) {
	l, ok := k.known[sliceID{unsafe.SliceData(refs), len(refs)}]
	if ok {
		if k.founds++; k.founds >= keepNumbers {
			k.numbers = nil
		}
	}
	return l.list, ok
}

// add returns the list that stands for refs, and enters what is new of it. New series get their numbers in the order of their
// labels: so those of a family have neighbouring columns, and their labels share their beginnings.
func (k *book) add(refs []metric.Ref) uint32 {
	k.founds = 0
	if k.numbers == nil {
		k.numbers = make(map[metric.Ref]uint32, len(k.series))
		for i, r := range k.series {
			k.numbers[r] = uint32(i)
		}
	}
	var fresh []metric.Ref
	for _, r := range refs {
		if _, ok := k.numbers[r]; !ok {
			k.numbers[r] = 0
			fresh = append(fresh, r)
		}
	}
	slices.SortFunc(fresh, func(a, b metric.Ref) int { return a.Labels.Compare(&b.Labels) })
	var last, labels []byte
	for _, r := range fresh {
		k.numbers[r] = uint32(len(k.series))
		k.series = append(k.series, r)
		labels = r.Labels.Append(labels[:0])
		k.bytes += 4 + len(labels) - sharedPrefix(last, labels)
		last, labels = labels, last
	}
	ids := make([]uint32, len(refs))
	var h maphash.Hash
	h.SetSeed(k.seed)
	for i, r := range refs {
		ids[i] = k.numbers[r]
		h.Write(binary.LittleEndian.AppendUint32(nil, ids[i]))
	}
	list, ok := k.equal[h.Sum64()]
	if !ok || !slices.Equal(k.lists[list], ids) {
		list = uint32(len(k.lists))
		k.lists = append(k.lists, ids)
		k.entries += len(ids)
		k.bytes += 2 * len(ids)
		k.equal[h.Sum64()] = list
	}
	if len(k.known) >= maxKnown {
		clear(k.known)
	}
	k.known[sliceID{unsafe.SliceData(refs), len(refs)}] = knownList{refs, list}
	return list
}

// fits tells whether the dictionary leaves a slot room for a block. It is packed only where that is in doubt.
func (k *book) fits(pack *packer) bool {
	if k.bytes <= max(maxBookPacked, k.checked) {
		return true
	}
	if len(pack.appendBook(nil, k, mark{})) > maxBookPacked {
		return false
	}
	k.checked = k.bytes + maxBookPacked/8
	return true
}

// view is the book as it is now, for reading while it grows.
func (k *book) view() *book {
	return &book{id: k.id, series: k.series[:len(k.series):len(k.series)], lists: k.lists[:len(k.lists):len(k.lists)]}
}

// mark is how much of a book somebody has.
type mark struct{ series, lists int }

func (k *book) mark() mark { return mark{len(k.series), len(k.lists)} }

// bookPiece is the length that a piece of a book's text has at least, but for the last.
const bookPiece = 256 << 10

// since yields the text of what the book has gained since a mark, in pieces that are valid until the next.
func (k *book) since(from mark) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		text := binary.AppendUvarint(nil, uint64(from.series))
		text = binary.AppendUvarint(text, uint64(from.lists))
		families, index := k.families(from.series)
		text = binary.AppendUvarint(text, uint64(len(families)))
		for _, d := range families {
			text = appendText(appendText(text, d.Name), d.Help)
			text = appendText(append(text, byte(d.Type)), string(d.Unit))
		}
		text = binary.AppendUvarint(text, uint64(len(k.series)-from.series))
		var last, labels []byte
		for _, r := range k.series[from.series:] {
			text = binary.AppendUvarint(text, uint64(index[r.Desc()]))
			labels = r.Labels.Append(labels[:0])
			shared := sharedPrefix(last, labels)
			text = binary.AppendUvarint(text, uint64(shared))
			text = append(binary.AppendUvarint(text, uint64(len(labels)-shared)), labels[shared:]...)
			last, labels = labels, last
			if len(text) >= bookPiece {
				if !yield(text) {
					return
				}
				text = text[:0]
			}
		}
		text = binary.AppendUvarint(text, uint64(len(k.lists)-from.lists))
		for _, ids := range k.lists[from.lists:] {
			text = binary.AppendUvarint(text, uint64(len(ids)))
			next := int64(0)
			for _, id := range ids {
				text = binary.AppendUvarint(text, zigzag(int64(id)-next))
				next = int64(id) + 1
			}
		}
		yield(text)
	}
}

func (k *book) families(from int) (all []*metric.Desc, index map[*metric.Desc]int) {
	index = map[*metric.Desc]int{}
	for _, r := range k.series[from:] {
		d := r.Desc()
		if _, ok := index[d]; !ok {
			index[d] = len(all)
			all = append(all, d)
		}
	}
	return all, index
}

func sharedPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errBook = errors.New("dictionary does not follow the format")

// Bounds of what is read of a book: beyond them it is damage.
const (
	maxBookBytes = 32 << 20
	maxEntries   = 16 << 20
)

// beginsBook tells whether what since has yielded is of a book from its beginning on.
func beginsBook(b []byte) bool {
	in := &reading{b: b}
	return in.uvarint() == 0 && in.uvarint() == 0 && in.err == nil
}

// extend reads what since has yielded. What the book has already is passed over.
func (k *book) extend(b []byte, table *metric.Table) error {
	in := &reading{b: b}
	from := mark{in.int(), in.int()}
	if in.err == nil && (from.series > len(k.series) || from.lists > len(k.lists)) {
		return errBook
	}
	descs := make([]*metric.Desc, in.count(4))
	for i := range descs {
		d := &metric.Desc{Name: in.text(), Help: in.text(), Type: metric.Type(in.byte()), Unit: metric.Unit(in.text())}
		descs[i] = d
	}
	last := ""
	for i := range in.count(3) {
		family, shared, rest := in.int(), in.int(), in.text()
		if in.err != nil || family >= len(descs) || shared > len(last) {
			return errBook
		}
		last = last[:shared] + rest
		if err := metric.Labels(last).Check(); err != nil {
			return fmt.Errorf("dictionary: %w", err)
		}
		if from.series+i >= len(k.series) {
			k.series = append(k.series, intern(table, metric.Labels(last), descs[family]))
		}
	}
	for i := range in.count(1) {
		ids := make([]uint32, 0, in.count(1))
		if k.entries += cap(ids); k.entries > maxEntries {
			return errBook
		}
		next := int64(0)
		for range cap(ids) {
			id := next + unzigzag(in.uvarint())
			if id < 0 || id >= int64(len(k.series)) {
				return errBook
			}
			ids = append(ids, uint32(id))
			next = id + 1
		}
		if from.lists+i >= len(k.lists) {
			k.lists = append(k.lists, ids)
		}
	}
	if in.err == nil && len(in.b) > 0 {
		return errBook
	}
	return in.err
}

// intern does not touch what a living source says of a series.
func intern(table *metric.Table, l metric.Labels, d *metric.Desc) metric.Ref {
	r := table.Intern(l, nil)
	if have := r.Desc(); have.Name == "" && have.Type == metric.Unknown && (d.Name != "" || d.Type != metric.Unknown) {
		return table.Intern(l, d)
	}
	return r
}
