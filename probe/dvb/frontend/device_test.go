package frontend

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel answers ioctls with what a Linux 6.1 said to the same questions; the answers lie in testdata.
type kernel struct {
	t          *testing.T
	info       []byte
	properties map[uint32][]byte
	numbers    map[string]uint32
	errnos     map[string]unix.Errno
	calls      []string
}

func recorded(t *testing.T, name string) *kernel {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, properties: map[uint32][]byte{}, numbers: map[string]uint32{}, errnos: map[string]unix.Errno{}}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		last := f[len(f)-1]
		switch {
		case f[0] == "info":
			k.info, err = hex.DecodeString(last)
		case f[0] == "property":
			var b []byte
			b, err = hex.DecodeString(last)
			k.properties[uint32(number(t, f[1]))] = b
		case f[1] == "errno":
			k.errnos[f[0]] = unix.Errno(number(t, last))
		default:
			k.numbers[f[0]] = uint32(number(t, last))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (k *kernel) device() *Device {
	return &Device{path: "node", ioctl: k.ioctl, close: func() error { k.calls = append(k.calls, "close"); return nil }}
}

func (k *kernel) ioctl(request uintptr, arg unsafe.Pointer) error {
	name := map[uintptr]string{
		feGetInfo: "info", feReadStatus: "status", feGetProperty: "properties",
		feReadStrength: "strength", feReadSNR: "snr", feReadBER: "ber", feReadUncorrected: "unc",
	}[request]
	k.calls = append(k.calls, name)
	if errno, ok := k.errnos[name]; ok {
		return errno
	}
	switch name {
	case "info":
		copy(unsafe.Slice((*byte)(arg), unsafe.Sizeof(feInfo{})), k.info)
	case "properties":
		p := (*dtvProperties)(arg)
		for i, q := range unsafe.Slice(p.props, p.num) {
			answer, ok := k.properties[q.cmd]
			if !ok {
				return unix.EINVAL
			}
			copy(unsafe.Slice(p.props, p.num)[i].union[:], answer)
		}
	case "strength", "snr":
		*(*uint16)(arg) = uint16(k.numbers[name])
	case "":
		k.t.Fatalf("an unknown ioctl %#x", request)
	default:
		*(*uint32)(arg) = k.numbers[name]
	}
	return nil
}

// describe asks everything and writes it down.
func describe(t *testing.T, d *Device) string {
	t.Helper()
	var b strings.Builder
	info, err := d.Info()
	fmt.Fprintf(&b, "%+v %v\n", info, err)
	status, err := d.Status()
	fmt.Fprintf(&b, "status %s %v\n", status, err)
	answers, err := d.Properties(DeliverySystem, Frequency, EnumDelivery, StatSignalStrength, StatCNR, StatPreErrorBits, StatPreTotalBits, StatTotalBlocks)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s at %d, of %v\n", System(answers[0].Data()), answers[1].Data(), answers[2].Systems())
	for i, name := range []string{"strength", "cnr", "errors", "bits", "blocks"} {
		s := answers[3+i].Stats()
		fmt.Fprintf(&b, "%s %v", name, s.Known())
		if v, ok := s.On(Decibel); ok {
			fmt.Fprintf(&b, " %.3f dB", v.Decibels())
		}
		if v, ok := s.On(Relative); ok {
			fmt.Fprintf(&b, " %d/65535", v.Count())
		}
		if v, ok := s.On(Counter); ok {
			fmt.Fprintf(&b, " %d", v.Count())
		}
		b.WriteByte('\n')
	}
	strength, err := d.Strength()
	fmt.Fprintf(&b, "v3 %d %v", strength, CauseOf(err))
	snr, err := d.SNR()
	fmt.Fprintf(&b, ", %d %v", snr, CauseOf(err))
	ber, err := d.BER()
	fmt.Fprintf(&b, ", %d %v", ber, CauseOf(err))
	unc, err := d.Uncorrected()
	fmt.Fprintf(&b, ", %d %v", unc, CauseOf(err))
	return b.String()
}

// What a real kernel has answered is understood.
func TestRecordedAnswers(t *testing.T) {
	const vidtv = "{Name:Dummy demod for DVB-T/T2/C/S/S2 MinFrequency:51000000 MaxFrequency:2150000000 MinSymbolRate:1000000 MaxSymbolRate:45000000} <nil>\n"
	const dvbsim = "{Name:dvbsim tuner %d.0 (DVB-T/T2/C) MinFrequency:42000000 MaxFrequency:2150000000 MinSymbolRate:1000000 MaxSymbolRate:45000000} <nil>\n"
	const locked = "status signal,carrier,viterbi,sync,lock <nil>\n"
	for name, want := range map[string]string{
		"vidtv-locked": vidtv + locked +
			"DVB-T at 474000000, of [DVB-T DVB-T2 DVB-C/A DVB-S DVB-S2]\n" +
			"strength true -34.136 dB\ncnr true 33.880 dB\nerrors true 0\nbits true 0\nblocks true 0\n" +
			"v3 31400 0, 0 6, 0 6, 0 6",
		"vidtv-unlocked": vidtv + "status  <nil>\n" + // with a strength that nobody may believe
			"DVB-T at 600000000, of [DVB-T DVB-T2 DVB-C/A DVB-S DVB-S2]\n" +
			"strength true -2251348.172 dB\ncnr true\nerrors true\nbits true\nblocks true\n" +
			"v3 10036 0, 0 6, 0 6, 0 6",
		"two-scales": fmt.Sprintf(dvbsim, 0) + locked +
			"DVB-T at 474000000, of [DVB-T DVB-T2 DVB-C/A]\n" +
			"strength true -45.000 dB 30000/65535\ncnr true 14.500 dB 52000/65535\nerrors true 120\nbits true 1020000\nblocks true 25000\n" +
			"v3 49152 0, 145 0, 12 0, 0 0",
		"version-3": fmt.Sprintf(dvbsim, 1) + locked +
			"DVB-T at 474000000, of [DVB-T DVB-T2 DVB-C/A]\n" +
			"strength false\ncnr false\nerrors false\nbits false\nblocks false\n" +
			"v3 49152 0, 145 0, 12 0, 0 0",
	} {
		if got := describe(t, recorded(t, name).device()); got != want {
			t.Errorf("%s\n--- got\n%s\n--- want\n%s", name, got, want)
		}
	}
}

func TestCauses(t *testing.T) {
	for errno, want := range map[unix.Errno]Cause{
		unix.ENOENT: Gone, unix.ENODEV: Gone, unix.ENXIO: Gone, unix.EBUSY: Busy, unix.EACCES: Denied, unix.EPERM: Forbidden, unix.EAGAIN: Idle,
		524: Unsupported, unix.EOPNOTSUPP: Unsupported, unix.ENOTTY: Unsupported, unix.EINVAL: Unsupported,
		unix.EIO: Hardware, unix.EREMOTEIO: Hardware, unix.ETIMEDOUT: Hardware, unix.EMFILE: Other,
	} {
		d := &Device{path: "/dev/dvb/adapter3/frontend0", ioctl: func(uintptr, unsafe.Pointer) error { return errno }}
		_, err := d.Status()
		if got := CauseOf(err); got != want || !errors.Is(err, errno) {
			t.Errorf("%v (%d) means %d, not %d", err, errno, got, want)
		}
		if !strings.Contains(err.Error(), "status of /dev/dvb/adapter3/frontend0") {
			t.Errorf("%v does not say what was read", err)
		}
	}
	if CauseOf(nil) != Other || CauseOf(errors.New("x")) != Other {
		t.Error("what is no errno means something")
	}
}

func TestPropertyLimits(t *testing.T) {
	k := recorded(t, "vidtv-locked")
	for _, n := range []int{0, 65} {
		if _, err := k.device().Properties(make([]Command, n)...); err == nil || len(k.calls) != 0 {
			t.Errorf("%d properties: %v after %v", n, err, k.calls)
		}
	}
	if _, err := k.device().Properties(Frequency, 99); CauseOf(err) != Unsupported {
		t.Errorf("an unknown property: %v", err)
	}
}

// A real file descriptor of something else shows that what is sent to the kernel is an ioctl of a node.
func TestOpen(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "frontend0")); CauseOf(err) != Gone {
		t.Errorf("a node that is not there: %v", err)
	}
	d, err := Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Status(); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("status of /dev/null: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Status(); !errors.Is(err, unix.EBADF) {
		t.Errorf("status after Close: %v", err)
	}
}

func TestRetryIsBounded(t *testing.T) {
	for interruptions, want := range map[int]error{0: nil, 3: nil, 1000: unix.EINTR} {
		left, calls := interruptions, 0
		_, err := retry(func() (int, error) {
			calls++
			if left--; left >= 0 {
				return 0, unix.EINTR
			}
			return 7, nil
		})
		if err != want || calls > 10 {
			t.Errorf("%d interruptions: %v after %d calls", interruptions, err, calls)
		}
	}
}

func TestSystems(t *testing.T) {
	var satellite []string
	for s := range System(300) {
		if s.Satellite() {
			satellite = append(satellite, s.String())
		}
	}
	if want := []string{"DVB-S", "DVB-S2", "ISDB-S", "Turbo"}; !slices.Equal(satellite, want) {
		t.Errorf("counted in kHz: %v", satellite)
	}
	if System(200).String() != "" {
		t.Error("a system that nobody knows has a name")
	}
}

func FuzzProperty(f *testing.F) {
	f.Add([]byte("\x01\x01\xa8\x7a\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\xff\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Property
		copy(p.union[:], b)
		s := p.Stats()
		if s.Known() != (p.union[0] != 0) {
			t.Errorf("%d values, known: %v", p.union[0], s.Known())
		}
		for scale := range Scale(5) {
			if v, ok := s.On(scale); ok && v.Scale != scale {
				t.Errorf("asked for %d, got %d", scale, v.Scale)
			}
		}
		if n := len(p.Systems()); n > bufferSize {
			t.Errorf("%d systems", n)
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte("tuner\x00rest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var raw feInfo
		copy(raw.name[:], b)
		if name := raw.decode().Name; len(name) > 3*len(raw.name) || strings.ContainsRune(name, 0) || strings.ToValidUTF8(name, "") != name {
			t.Errorf("%q", name)
		}
	})
}
