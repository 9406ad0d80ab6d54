package push

import (
	"net/http"
	"strings"
)

// RedirectedTo returns the address to which an answer sends its client, without what of it may be secret: user, query and long
// parts of the path. It returns "" where there is none.
func RedirectedTo(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil || resp.StatusCode/100 != 3 {
		return ""
	}
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if len(s) >= longSegment {
			segments[i] = "<secret>"
		}
	}
	return u.Scheme + "://" + u.Host + strings.Join(segments, "/")
}

// elsewhere says where a redirect leads that was not followed, and what to do about it.
func elsewhere(resp *http.Response) string {
	to := RedirectedTo(resp)
	if to == "" {
		return ""
	}
	return "to " + to + ", which is not followed: write that as url if it is the receiver; if it is a login page, something in between wants one"
}
