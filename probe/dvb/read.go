package dvb

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"headend-agent/probe/dvb/frontend"
)

// device is an open frontend, a *frontend.Device or a test's.
type device interface {
	Info() (frontend.Info, error)
	Status() (frontend.Status, error)
	Properties(...frontend.Command) ([]frontend.Property, error)
	Strength() (uint16, error)
	SNR() (uint16, error)
	BER() (uint32, error)
	Uncorrected() (uint32, error)
	Close() error
}

func openDevice(path string) (device, error) {
	d, err := frontend.Open(path)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// reading is what one look at a frontend has found. Readings that the driver does not have are nil.
type reading struct {
	err      error  // the first that is a problem; what was read before it stands
	panicked string // what a mistake of the program left behind
	took     time.Duration
	left     bool // the tuner has left meanwhile: what was read means nothing

	status    *frontend.Status
	system    frontend.System
	frequency uint32
	stats     [len(statCommands)]frontend.Stats

	strength, snr    *uint16 // API version 3
	ber, uncorrected *uint32

	info    *frontend.Info // nil where it was not asked for
	systems []frontend.System
}

// statCommands are the statistics in the order of reading.stats.
var statCommands = [...]frontend.Command{
	frontend.StatSignalStrength, frontend.StatCNR, frontend.StatPreErrorBits, frontend.StatPreTotalBits,
	frontend.StatPostErrorBits, frontend.StatPostTotalBits, frontend.StatErrorBlocks, frontend.StatTotalBlocks,
}

// Places in statCommands.
const (
	strengthStat = iota
	cnrStat
	preErrorStat
	preTotalStat
	postErrorStat
	postTotalStat
	errorBlockStat
	totalBlockStat
)

// session reads one frontend once.
type session struct {
	open     func(path string) (device, error)
	path     string
	identify bool          // ask what it is, too
	budget   time.Duration // what is not essential is left out when the rest has taken more than half of it
	tuned    func() bool   // somebody still has it open for tuning
	after    chan reading  // of a reading to wait for; nil for none
}

// prompt is how long a reading may take before it looks, ahead of each further call, whether the tuner is still there. One that
// has moved on to a sibling is refused it, after 5 s, if this frontend is still open then.
const prompt = 200 * time.Millisecond

var errLeft = errors.New("the tuner has left")

// gate tells whether another call may begin.
type gate func() error

// run sends a reading to done, whatever happens. It does not begin another call once ctx has ended.
func (s session) run(ctx context.Context, done chan<- reading) {
	var r reading
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			r.panicked = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
		r.took = time.Since(start)
		done <- r
	}()
	if s.after != nil {
		if before := <-s.after; before.panicked != "" {
			panic(before.panicked)
		}
		start = time.Now()
	}
	r.err = s.read(&r, func() error {
		if time.Since(start) > prompt && !s.tuned() {
			return errLeft
		}
		return ctx.Err()
	})
	r.left = !s.tuned()
}

func (s session) read(r *reading, may gate) error {
	start := time.Now()
	if !s.tuned() { // since it was looked for
		return errLeft
	}
	if err := may(); err != nil {
		return err
	}
	d, err := s.open(s.path)
	if err != nil {
		return err
	}
	defer d.Close()
	// First the status: many drivers refresh their statistics only there.
	if err := ask(may, &r.status, d.Status); err != nil || r.status == nil {
		return err
	}
	if err := r.properties(may, d); err != nil {
		return err
	}
	if time.Since(start) > s.budget/2 {
		return nil
	}
	if err := r.legacy(may, d); err != nil || !s.identify {
		return err
	}
	if err := ask(may, &r.info, d.Info); err != nil {
		return err
	}
	var systems *[]frontend.Property
	err = ask(may, &systems, func() ([]frontend.Property, error) { return d.Properties(frontend.EnumDelivery) })
	if systems != nil {
		r.systems = (*systems)[0].Systems()
	}
	return err
}

// properties reads what is tuned and the statistics.
func (r *reading) properties(may gate, d device) error {
	tuned := []frontend.Command{frontend.DeliverySystem, frontend.Frequency}
	var answers *[]frontend.Property
	err := ask(may, &answers, func() ([]frontend.Property, error) { return d.Properties(append(tuned, statCommands[:]...)...) })
	if err == nil && answers == nil { // the kernel is older than the statistics, and refuses all
		err = ask(may, &answers, func() ([]frontend.Property, error) { return d.Properties(tuned...) })
	}
	if err != nil || answers == nil {
		return err
	}
	for i, p := range *answers {
		switch i {
		case 0:
			r.system = frontend.System(p.Data())
		case 1:
			r.frequency = p.Data()
		default:
			r.stats[i-len(tuned)] = p.Stats()
		}
	}
	return nil
}

// legacy reads API version 3: the strength, which the media server shows too, and what the driver has no statistic of.
func (r *reading) legacy(may gate, d device) error {
	if err := ask(may, &r.strength, d.Strength); err != nil {
		return err
	}
	if !r.stats[cnrStat].Known() {
		if err := ask(may, &r.snr, d.SNR); err != nil {
			return err
		}
	}
	if !r.stats[preErrorStat].Known() && !r.stats[postErrorStat].Known() {
		if err := ask(may, &r.ber, d.BER); err != nil {
			return err
		}
	}
	if !r.stats[errorBlockStat].Known() {
		return ask(may, &r.uncorrected, d.Uncorrected)
	}
	return nil
}

// ask makes one call, if it may. into stays nil where the driver has no such reading, or the frontend is asleep.
func ask[T any](may gate, into **T, call func() (T, error)) error {
	if err := may(); err != nil {
		return err
	}
	v, err := call()
	switch frontend.CauseOf(err) {
	case frontend.Unsupported, frontend.Idle:
		return nil
	}
	if err == nil {
		*into = &v
	}
	return err
}
