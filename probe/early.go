package probe

import (
	"context"
	"time"
)

// Early ends a little before ctx does: a run that waits for a slow target until ctx itself ends has nobody left to tell.
func Early(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, end.Add(-min(time.Until(end)/10, 500*time.Millisecond)))
}
