package host

import (
	"fmt"

	"github.com/prometheus/procfs"

	"headend-agent/internal/metric"
)

var (
	kernelHungTasks = &metric.Desc{Name: "node_kernel_hung_tasks_total", Help: "Tasks found hung since boot.", Type: metric.Counter}
	kernelHungDescs = []*metric.Desc{kernelHungTasks}
)

// collectKernelHung reads /proc/sys/kernel/hung_task_detect_count, which kernels have since 6.13.
func collectKernelHung(fs procfs.FS, out *metric.Set) error {
	hung, err := fs.KernelHung()
	if err != nil {
		return fmt.Errorf("read hung tasks: %w", err)
	}
	out.Add(kernelHungTasks, float64(*hung.HungTaskDetectCount))
	return nil
}
