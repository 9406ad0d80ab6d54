package frontend

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// layout pairs what the kernel's headers say with what uapi.go says.
var layout = []struct{ c, golang string }{
	{"sizeof(struct dvb_frontend_info)", "sizeof feInfo"},
	{"offsetof(struct dvb_frontend_info, frequency_min)", "offsetof feInfo.minFrequency"},
	{"offsetof(struct dvb_frontend_info, frequency_max)", "offsetof feInfo.maxFrequency"},
	{"offsetof(struct dvb_frontend_info, symbol_rate_min)", "offsetof feInfo.minSymbolRate"},
	{"offsetof(struct dvb_frontend_info, symbol_rate_max)", "offsetof feInfo.maxSymbolRate"},
	{"offsetof(struct dvb_frontend_info, caps)", "offsetof feInfo.caps"},
	{"sizeof(struct dtv_properties)", "sizeof dtvProperties"},
	{"offsetof(struct dtv_properties, props)", "offsetof dtvProperties.props"},
	{"sizeof(struct dtv_property)", "sizeof dtvProperty"},
	{"offsetof(struct dtv_property, u)", "offsetof dtvProperty.union"},
	{"offsetof(struct dtv_property, result)", "offsetof dtvProperty.result"},
	{"sizeof(((struct dtv_property *)0)->u)", "unionSize"},
	{"sizeof(((struct dtv_property *)0)->u.buffer.data)", "bufferSize"},
	{"offsetof(struct dtv_property, u.buffer.len) - offsetof(struct dtv_property, u)", "bufferLenAt"},
	{"offsetof(struct dtv_fe_stats, stat)", "statsAt"},
	{"sizeof(struct dtv_stats)", "statsSize"},
	{"DTV_IOCTL_MAX_MSGS", "maxProperties"},
	{"FE_GET_INFO", "feGetInfo"},
	{"FE_READ_STATUS", "feReadStatus"},
	{"FE_READ_BER", "feReadBER"},
	{"FE_READ_SIGNAL_STRENGTH", "feReadStrength"},
	{"FE_READ_SNR", "feReadSNR"},
	{"FE_READ_UNCORRECTED_BLOCKS", "feReadUncorrected"},
	{"FE_GET_PROPERTY", "feGetProperty"},
}

// numbers pairs the headers' numbers with the package's.
var numbers = []struct {
	c      string
	golang uint64
}{
	{"DTV_FREQUENCY", uint64(Frequency)}, {"DTV_DELIVERY_SYSTEM", uint64(DeliverySystem)}, {"DTV_API_VERSION", uint64(APIVersion)},
	{"DTV_ENUM_DELSYS", uint64(EnumDelivery)}, {"DTV_STAT_SIGNAL_STRENGTH", uint64(StatSignalStrength)}, {"DTV_STAT_CNR", uint64(StatCNR)},
	{"DTV_STAT_PRE_ERROR_BIT_COUNT", uint64(StatPreErrorBits)}, {"DTV_STAT_PRE_TOTAL_BIT_COUNT", uint64(StatPreTotalBits)},
	{"DTV_STAT_POST_ERROR_BIT_COUNT", uint64(StatPostErrorBits)}, {"DTV_STAT_POST_TOTAL_BIT_COUNT", uint64(StatPostTotalBits)},
	{"DTV_STAT_ERROR_BLOCK_COUNT", uint64(StatErrorBlocks)}, {"DTV_STAT_TOTAL_BLOCK_COUNT", uint64(StatTotalBlocks)},
	{"FE_SCALE_NOT_AVAILABLE", uint64(NotAvailable)}, {"FE_SCALE_DECIBEL", uint64(Decibel)}, {"FE_SCALE_RELATIVE", uint64(Relative)},
	{"FE_SCALE_COUNTER", uint64(Counter)}, {"FE_HAS_SIGNAL", uint64(HasSignal)}, {"FE_HAS_CARRIER", uint64(HasCarrier)},
	{"FE_HAS_VITERBI", uint64(HasViterbi)}, {"FE_HAS_SYNC", uint64(HasSync)}, {"FE_HAS_LOCK", uint64(HasLock)},
	{"FE_TIMEDOUT", uint64(TimedOut)}, {"FE_REINIT", uint64(Reinit)},
	{"SYS_DVBC_ANNEX_A", system("DVB-C/A")}, {"SYS_DVBT", system("DVB-T")}, {"SYS_DVBS", system("DVB-S")}, {"SYS_DVBS2", system("DVB-S2")},
	{"SYS_ISDBS", system("ISDB-S")}, {"SYS_DTMB", system("DTMB")}, {"SYS_DVBT2", system("DVB-T2")}, {"SYS_TURBO", system("Turbo")},
	{"SYS_DVBC_ANNEX_C", system("DVB-C/C")},
}

func system(name string) uint64 {
	for i, n := range systemNames {
		if n == name {
			return uint64(i)
		}
	}
	return 1 << 32
}

// The layouts and numbers are those of the kernel's headers, on 64-bit machines and on 32-bit ones.
func TestLayout(t *testing.T) {
	for arch, run := range map[string]func(*testing.T, []string) []uint64{"amd64": printed, "386": assembled} {
		t.Run(arch, func(t *testing.T) {
			var c []string
			for _, l := range layout {
				c = append(c, l.c)
			}
			for _, n := range numbers {
				c = append(c, n.c)
			}
			want := run(t, c)
			ours := uapi(t, arch)
			for i, l := range layout {
				if got := ours(l.golang); got != want[i] {
					t.Errorf("%s is %#x, %s is %#x", l.golang, got, l.c, want[i])
				}
			}
			for i, n := range numbers {
				if n.golang != want[len(layout)+i] {
					t.Errorf("%s is %d, not %d", n.c, want[len(layout)+i], n.golang)
				}
			}
		})
	}
}

const headers = "#include <stddef.h>\n#include <linux/ioctl.h>\n#include <linux/dvb/frontend.h>\n"

// printed compiles a C program, and returns what it prints: the values of expressions.
func printed(t *testing.T, expressions []string) []uint64 {
	source := headers + "#include <stdio.h>\nint main(void) {\n"
	for _, e := range expressions {
		source += fmt.Sprintf("printf(\"%%lu\\n\", (unsigned long)(%s));\n", e)
	}
	program := filepath.Join(t.TempDir(), "program")
	compile(t, source+"}\n", "-o", program)
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	return values(t, strings.Fields(string(out)), len(expressions))
}

// assembled lets a 32-bit compiler write the values into assembler text: running it would take a 32-bit C library.
func assembled(t *testing.T, expressions []string) []uint64 {
	if runtime.GOARCH != "amd64" {
		t.Skip("only on amd64 is the C compiler one for 32 bits, too")
	}
	source := headers + "void f(void) {\n"
	for _, e := range expressions {
		source += fmt.Sprintf("asm volatile(\"\\n@@ %%c0\" :: \"i\"((unsigned long)(%s)));\n", e)
	}
	text := filepath.Join(t.TempDir(), "text")
	compile(t, source+"}\n", "-m32", "-idirafter", "/usr/include/x86_64-linux-gnu", "-S", "-o", text)
	out, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^@@ (-?\d+)$`).FindAllStringSubmatch(string(out), -1) {
		found = append(found, m[1])
	}
	return values(t, found, len(expressions))
}

func compile(t *testing.T, source string, args ...string) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no C compiler here: the layouts are not compared with the kernel's headers")
	}
	if _, err := os.Stat("/usr/include/linux/dvb/frontend.h"); err != nil {
		t.Skip("no kernel headers here (linux-libc-dev)")
	}
	file := filepath.Join(t.TempDir(), "program.c")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, append(args, file)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func values(t *testing.T, texts []string, n int) []uint64 {
	if len(texts) != n {
		t.Fatalf("%d values of %d", len(texts), n)
	}
	var all []uint64
	for _, s := range texts {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, uint64(uint32(v))) // 32-bit compilers write large ones as negative
	}
	return all
}

// uapi type-checks uapi.go as for another machine, and returns a function that finds sizes, offsets and constants in it.
func uapi(t *testing.T, arch string) func(string) uint64 {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "uapi.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	sizes := types.SizesFor("gc", arch)
	pkg, err := (&types.Config{Importer: importer.Default(), Sizes: sizes}).Check("frontend", set, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(what string) uint64 {
		if name, ok := strings.CutPrefix(what, "sizeof "); ok {
			return uint64(sizes.Sizeof(pkg.Scope().Lookup(name).Type()))
		}
		if at, ok := strings.CutPrefix(what, "offsetof "); ok {
			name, field, _ := strings.Cut(at, ".")
			s := pkg.Scope().Lookup(name).Type().Underlying().(*types.Struct)
			var fields []*types.Var
			found := -1
			for i := range s.NumFields() {
				fields = append(fields, s.Field(i))
				if s.Field(i).Name() == field {
					found = i
				}
			}
			return uint64(sizes.Offsetsof(fields)[found])
		}
		v, ok := constant.Uint64Val(pkg.Scope().Lookup(what).(*types.Const).Val())
		if !ok {
			t.Fatalf("%s is no number", what)
		}
		return v
	}
}
