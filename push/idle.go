package push

import "time"

// idleness is what a lane has learned about how long its connections may be idle before something on the way forgets them.
type idleness struct {
	limit    time.Duration // after which they are closed; 0: none is known
	shortest time.Duration // idle time of a connection that was forgotten
	times    int           // that one was, in a row
	learned  time.Time     // when that was last seen
	suspect  time.Duration // idle time of the connection on which the attempt before this one got no answer; 0: it was not idle
}

const (
	forgottenTimes = 2              // until it is no accident
	lessonLife     = 24 * time.Hour // a route and its gateways change; two failures find out again
)

// note takes what an attempt tells. again tells that the attempt before was at the same request: where that one went out on an idle
// connection and got no answer, and this one gets one on a new connection, the idle time was to blame, and not the size or the line.
// It returns whether the limit is news.
func (i *idleness) note(a *answer, again bool) (news bool) {
	now := time.Now()
	if i.times > 0 && now.Sub(i.learned) >= lessonLife {
		*i = idleness{suspect: i.suspect}
	}
	suspect := i.suspect
	i.suspect = 0
	switch {
	case a.status == 0:
		if a.class == "timeout" && a.idle >= pause {
			i.suspect = a.idle
		}
	case a.idle == 0 && again && suspect > 0:
		i.times++
		i.learned = now
		if i.shortest == 0 || suspect < i.shortest {
			i.shortest = suspect
		}
		if limit := max(pause, i.shortest/2); i.times >= forgottenTimes && limit != i.limit {
			i.limit = limit
			return true
		}
	case i.times > 0 && a.idle >= i.shortest: // as idle as that, and it works
		*i = idleness{}
	}
	return false
}
