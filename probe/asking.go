package probe

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// AskError makes an HTTP client's error fit to be told: without the query of its URL, which may hold secrets, and without the local
// port, which would make every failure another one.
func AskError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Source != nil {
		err = fmt.Errorf("%s %v: %w", op.Op, op.Addr, op.Err)
	}
	return err
}
