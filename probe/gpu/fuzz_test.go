package gpu

import "testing"

func FuzzFdinfo(f *testing.F) {
	f.Add([]byte("pos:\t0\ndrm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t12\ndrm-engine-video:\t5 ns\ndrm-engine-capacity-video:\t2\n"))
	f.Add([]byte("drm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\ndrm-cycles-vcs:\t28257900\ndrm-total-cycles-vcs:\t7655183225\n"))
	f.Add([]byte("drm-engine-enc:\t18446744073709551616 ns\ndrm-engine-:\t1 ns\ndrm-"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, ok := parseFdinfo(data)
		if ok && (c.pci == "" || c.id == "") {
			t.Error("a client without a name")
		}
		for _, b := range c.engines {
			if v := b.since(busy{}, 1e9); !(v >= 0) {
				t.Errorf("%+v is %g", b, v)
			}
		}
	})
}

func FuzzModuleVersion(f *testing.F) {
	f.Add([]byte("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v := moduleVersion(data); len(v) > len(data) {
			t.Errorf("%q", v)
		}
	})
}
