package ssechat

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/sse-chat/caddy-sse-chat"

// sourcePackage is what the map is compared with.
type sourcePackage struct {
	dir     string
	names   map[string]bool // package-level names, and Type.member
	imports map[string]bool // folders of this module
	others  map[string]bool // packages of other modules and of Go
	files   int
}

// sourcePackages returns the packages of this module, without nested modules, by
// their names.
func sourcePackages(t *testing.T) map[string]*sourcePackage {
	t.Helper()
	packages := make(map[string]*sourcePackage)
	err := filepath.WalkDir(".", func(dir string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && dir != "." || entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && dir != "." {
			return filepath.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				return err
			}
			p := packages[parsed.Name.Name]
			if p == nil {
				p = &sourcePackage{
					dir: filepath.ToSlash(dir), names: make(map[string]bool),
					imports: make(map[string]bool), others: make(map[string]bool),
				}
				packages[parsed.Name.Name] = p
			}
			p.add(parsed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func (p *sourcePackage) add(file *ast.File) {
	p.files++
	for _, spec := range file.Imports {
		imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/")
		if ours {
			p.imports[imported] = true
		} else {
			p.others[imported] = true
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			p.names[receiver(decl)+decl.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						p.names[name.Name] = true
					}
				case *ast.TypeSpec:
					p.names[spec.Name.Name] = true
					p.addMembers(spec)
				}
			}
		}
	}
}

func (p *sourcePackage) addMembers(spec *ast.TypeSpec) {
	var members *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		members = t.Fields
	case *ast.InterfaceType:
		members = t.Methods
	default:
		return
	}
	for _, field := range members.List {
		for _, name := range field.Names {
			p.names[spec.Name.Name+"."+name.Name] = true
		}
	}
}

// receiver returns the type of a method and a dot, or nothing for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	return t.(*ast.Ident).Name + "."
}

var (
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	qualified = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)$`)
	filePath  = regexp.MustCompile(`^[\w./-]+$`)
)

// The map names only what is there.
func TestTheMapIsTrue(t *testing.T) {
	content, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	packages := sourcePackages(t)
	files, names := 0, 0
	for _, span := range codeSpan.FindAllStringSubmatch(string(content), -1) {
		word := span[1]
		if match := qualified.FindStringSubmatch(word); match != nil && packages[match[1]] != nil && match[2] != "go" {
			if names++; !packages[match[1]].names[match[2]] {
				t.Errorf("there is no %s", word)
			}
			continue
		}
		isFile := filePath.MatchString(word) && (strings.Contains(word, "/") || strings.HasSuffix(word, ".go"))
		if !isFile {
			continue
		}
		files++
		if _, err := os.Stat(word); err != nil {
			t.Errorf("there is no %s", word)
		}
	}
	if files < 50 || names < 50 {
		t.Errorf("only %d files and %d names are looked at", files, names)
	}
}

// Each package imports what the map says that it may.
func TestImportsGoDownwards(t *testing.T) {
	content, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(content), "Not part of the product")
	forTests := []string{"internal/chattest", "internal/chattest/caddytest", "internal/chattest/fragile", "internal/freeport", "internal/hub/hubtest", "store/storetest"}
	above := make(map[string]bool) // packages in the table so far
	allowed := make(map[string][]string)
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		dir := codeSpan.FindStringSubmatch(cells[1])[1]
		allowed[dir] = nil
		for _, span := range codeSpan.FindAllStringSubmatch(cells[3], -1) {
			if above[span[1]] {
				t.Errorf("%s may import %s, which is above it", dir, span[1])
			}
			allowed[dir] = append(allowed[dir], span[1])
		}
		above[dir] = true
	}
	for name, p := range sourcePackages(t) {
		if slices.Contains(forTests, p.dir) || strings.HasPrefix(p.dir, "examples") {
			continue
		}
		may, known := allowed[p.dir]
		if !known {
			t.Errorf("the table lacks the package %s in %s", name, p.dir)
			continue
		}
		for _, imported := range slices.Sorted(maps.Keys(p.imports)) {
			anyInternal := slices.Contains(may, "internal/…") && strings.HasPrefix(imported, "internal/")
			if slices.Contains(forTests, imported) || !anyInternal && !slices.Contains(may, imported) {
				t.Errorf("%s imports %s", path.Join(p.dir), imported)
			}
		}
	}
}

// A package stays small enough to be looked through. The two durable stores have outgrown
// that, and may not grow any further.
func TestNoPackageHasMoreThan25Files(t *testing.T) {
	outgrown := map[string]int{"bolt": 35, "jetstream": 31}
	for name, p := range sourcePackages(t) {
		if p.files > max(25, outgrown[name]) && name != "main" {
			t.Errorf("%s has %d files", p.dir, p.files)
		}
	}
}

// A hub, and all that it is made of, knows neither HTTP nor Caddy.
func TestAHubKnowsNeitherHTTPNorCaddy(t *testing.T) {
	packages := sourcePackages(t)
	for _, name := range []string{"hub", "wire", "presence", "nodes", "wheel", "pages", "inflight", "kicks", "storehealth", "store"} {
		for imported := range packages[name].others {
			if imported == "net/http" || strings.HasPrefix(imported, "github.com/caddyserver/") {
				t.Errorf("%s imports %s", packages[name].dir, imported)
			}
		}
	}
}
