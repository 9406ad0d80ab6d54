package metric

import "time"

// Epoch numbers the rounds of one boot whose times are corrected alike. Its upper 48 bits tell the boot. The odd
// numbers are of rounds with Unset: a boot has one. 0 is no epoch: times that nobody will ever correct, because they
// are the source's own.
type Epoch uint64

const epochBits = 0xffff // of an Epoch, below those of the boot

// Unset tells whether rounds of this epoch bear the time since boot.
func (e Epoch) Unset() bool { return e&1 == 1 }

// SameBoot tells whether two epochs are of one boot.
func (e Epoch) SameBoot(other Epoch) bool { return e&^epochBits == other&^epochBits }

// OfBase and OfFloor return the numbers under which a record keeps the BaseMs and the FloorMs of this epoch's boot.
// No round bears them.
func (e Epoch) OfBase() Epoch  { return e&^epochBits | epochBits - 1 }
func (e Epoch) OfFloor() Epoch { return e&^epochBits | epochBits - 3 }

// after returns an epoch n numbers after e in the same boot. It is neither 0 nor OfBase nor OfFloor.
func (e Epoch) after(n uint64) Epoch {
	const numbers = epochBits/2 - 2
	return e&^epochBits | Epoch(((uint64(e&epochBits)/2+n-1)%numbers+1)<<1)
}

// SmallStep is the largest step of the wall clock that is followed instead of corrected.
const SmallStep = time.Minute

// Slack is by how much two readings of one clock may differ on a busy machine, and BaseMs be older than the clock.
const Slack = 100 * time.Millisecond

// epochsOfBoot bounds the epochs of one boot: what was stepped more often goes on in its last epoch.
const epochsOfBoot = 16

// Timebase ties the time since one boot to the wall clock. It is what makes this invariant hold:
//
// Every round of this boot that no receiver can have yet has the time that today's clock would have given it, after
// any sequence of steps and of restarts of the agent. Steps of up to SmallStep from one reading of the clock to the
// next are followed and never corrected: where such a step goes back, rounds are left out until the clock has caught
// up. A clock that is not set says nothing, so the reading before it holds. Readings that a kill costs, for want of a
// WAL, count as never made. Rounds of a boot that is gone keep the corrections that were known when it ended. A batch
// of which a receiver has or may have a part goes on with the times that it was made with.
//
// A round's stamp is the time since boot plus BaseMs minus ShiftMs, and what is sent is the stamp plus the correction
// of the round's epoch. A larger step adds its size to BaseMs, to OriginMs and to the correction of every epoch of
// the boot, of which ShiftMs is one. So the time since boot plus BaseMs minus OriginMs, the Line, does not see steps,
// and what is sent is the Line at the stamp plus OriginMs of today, whatever came between. The Line grows from round
// to round, so the order of rounds holds too.
type Timebase struct {
	Boot     Epoch // names the boot: the epoch of its rounds with Unset
	Epoch    Epoch // of the rounds to come
	Epochs   int   // how many the boot has had, Boot left out
	BaseMs   int64 // Unix time minus time since boot, by the newest reading of the clock while it was set
	OriginMs int64 // BaseMs without the small steps: the correction of rounds with Unset
	ShiftMs  int64 // the correction of rounds of Epoch
	FloorMs  int64 // on the Line: up to here there may be rounds, because the clock has gone back a little
}

// NewTimebase begins the timebase of a boot whose clock shows for the first time that it is set, sinceBoot after that
// boot. Should a record of the boot have been lost, its epochs are unlikely to be numbered like the new ones.
func NewTimebase(boot Epoch, sinceBoot time.Duration, baseMs int64) Timebase {
	first := (boot &^ epochBits).after(1 + uint64(sinceBoot/time.Second))
	return Timebase{Boot: boot, Epoch: first, Epochs: 1, BaseMs: baseMs, OriginMs: baseMs}
}

// Follow takes in another reading of the clock, and returns by how much the times of rounds are corrected because of
// it: 0 for a small step. After a correction the rounds to come are a new epoch, so that their stamps are what the
// clock shows, unless the boot has had too many.
func (t *Timebase) Follow(sinceBoot time.Duration, baseMs int64) (stepMs int64) {
	stepMs = baseMs - t.BaseMs
	if max(stepMs, -stepMs) <= SmallStep.Milliseconds() {
		if stepMs < -Slack.Milliseconds() {
			t.FloorMs = max(t.FloorMs, t.Line(sinceBoot.Milliseconds()+t.BaseMs))
		}
		t.BaseMs = baseMs
		return 0
	}
	t.BaseMs = baseMs
	t.OriginMs += stepMs
	t.ShiftMs += stepMs
	if t.Epochs < epochsOfBoot {
		t.Epoch, t.ShiftMs = t.Epoch.after(1), 0
		t.Epochs++
	}
	return stepMs
}

// Line is where a time by this clock, in Unix milliseconds, lies on the boot's own line of time, which large steps do
// not bend.
func (t *Timebase) Line(ms int64) int64 { return ms - t.OriginMs }
