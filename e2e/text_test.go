package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// dressed returns an expression about the `body` in which a text is shown.
func dressed(text, expression string) string {
	quoted, _ := json.Marshal(text)
	return fmt.Sprintf(`import('./special.js').then(({ dress }) => {
		const body = document.createElement('div');
		dress(body, %s, { id: '' });
		return %s;
	})`, quoted, expression)
}

// linked returns the links in a text: what is shown, and the target host.
func linked(p *tab, text string) []string {
	p.t.Helper()
	return eval[[]string](p, dressed(text, `[...body.querySelectorAll('a')].map(a => decodeURI(a.textContent) + ' ' + a.host)`))
}

// Marks become what they mean, and everything else stays as it is written.
func TestTheLookOfATextIsAsMeant(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	for text, want := range map[string]string{
		"a `b` c":                           "a <code>b</code> c",
		"`*a* ~~b~~ https://a.kr <b>`":      "<code>*a* ~~b~~ https://a.kr &lt;b&gt;</code>",
		"`` a`b `` and ``` c ```":           "<code>a`b</code> and <code>c</code>",
		"don`t\nwon`t `` \" ```":            "don`t\nwon`t `` \" ```",
		"**a** *b* ~~c~~ ***d***":           "<strong>a</strong> <em>b</em> <del>c</del> <strong><em>d</em></strong>",
		"**a *b* ~~c~~**":                   "<strong>a <em>b</em> <del>c</del></strong>",
		"*a **b* c**":                       "<em>a **b</em> c**",
		"~~**a**~~ **`b`** (*c*), *d*!":     "<del><strong>a</strong></del> <strong><code>b</code></strong> (<em>c</em>), <em>d</em>!",
		"**굵게**라고 이것은**중요**합니다":             "<strong>굵게</strong>라고 이것은<strong>중요</strong>합니다",
		"**메모:** 내일 *꼭*":                    "<strong>메모:</strong> 내일 <em>꼭</em>",
		"*footnote *italic*":                "*footnote <em>italic</em>",
		"네~~알겠어요~~ 안녕~~ 반가워~~":              "네~~알겠어요~~ 안녕~~ 반가워~~",
		"2 * 3 * 4, 2*3*4, a*b*c, 가 * 나":    "2 * 3 * 4, 2*3*4, a*b*c, 가 * 나",
		"snake_case_words __init__ _a_":     "snake_case_words __init__ _a_",
		"** ~~ * ` **** ~~~~ ` a":           "** ~~ * <code>**** ~~~~</code> a",
		"**a\nb** *c\nd* ~~e\nf~~":          "**a\nb** *c\nd* ~~e\nf~~",
		"f**k s**t price* other*":           "f**k s**t price* other*",
		"def f(*args, **kwargs): (*p)(*q)":  "def f(*args, **kwargs): (*p)(*q)",
		"src/*.js lib/*.ts *.js,*.ts *.c":   "src/*.js lib/*.ts *.js,*.ts *.c",
		"SELECT *, count(*) x**2 + y**2":    "SELECT *, count(*) x**2 + y**2",
		"\\*a\\* /* b */ int *c, *d;":       "\\*a\\* /* b */ int *c, *d;",
		"* a\n* b\n- c\n1. d":               "* a\n* b\n- c\n1. d",
		"*️⃣*️⃣ a":                          "*️⃣*️⃣ a",
		"```\n*a*\n  b\n```":                "<pre>*a*\n  b\n</pre>",
		"x\n```go\nfunc\n\n```\ny":          "x\n<pre>func\n\n</pre>y",
		"````\n```\na\n```\n````":           "<pre>```\na\n```\n</pre>",
		"```\na\n``` b\n":                   "```\na\n``` b\n",
		"```js\na\n```js\nb":                "```js\na\n```js\nb",
		"1. a\n   ```js\n   b\n   ```\nc":   "1. a\n<pre>   b\n</pre>c",
		"```js {1}\na\n```\nb\n```\nc\n```": "<pre>js {1}\na\n</pre>b\n<pre>c\n</pre>",
		"```\n```":                          "```\n```",
		"> a\n> *b*\n>\n> > c\nd":           "<blockquote>a\n<em>b</em>\n\n&gt; c\n</blockquote>d",
		"> ```\n> a\n> ```":                 "<blockquote><pre>a\n</pre></blockquote>",
		">_< >:( a > b":                     "&gt;_&lt; &gt;:( a &gt; b",
		">\n> ":                             "&gt;\n&gt; ",
		"<img src=x onerror=alert(1)> *a*":  "&lt;img src=x onerror=alert(1)&gt; <em>a</em>",
	} {
		if got := eval[string](p, dressed(text, `body.innerHTML`)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"**https://a.kr/b**":              "https://a.kr/b/STRONG",
		"~~https://a.kr/b_(c)~~":          "https://a.kr/b_(c)/DEL",
		"*https://a.kr*, see":             "https://a.kr/EM",
		"https://a.kr/*b*/~~c~~/_d_/e":    "https://a.kr/*b*/~~c~~/_d_/e/DIV",
		"https://a.kr/*b https://a.kr/c*": "https://a.kr/*b/DIV https://a.kr/c/DIV",
	} {
		if got := eval[string](p, dressed(text, `[...body.querySelectorAll('a')].map(a => a.textContent + '/' + a.parentNode.nodeName).join(' ')`)); got != want {
			t.Errorf("%q has the links %q, want %q", text, got, want)
		}
	}
}

// A link leads where it seems to lead, and covers exactly the intended address.
func TestLinksGoWhereTheySeemTo(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	for _, test := range []struct {
		text string
		want string // links, as linked has them
	}{
		{"https://a.kr", "https://a.kr a.kr"},
		{"see http://a.kr/b?c=d#e, please", "http://a.kr/b?c=d#e a.kr"},
		{"(https://a.kr/b_(c)).", "https://a.kr/b_(c) a.kr"},
		{"http://[::1]:3000/x]", "http://[::1]:3000/x [::1]:3000"},
		{"https://localhost:3000에", "https://localhost:3000 localhost:3000"},
		{"no ftp://a.kr javascript:alert(1) xhttp://a.kr https:// http://] https://a:99999/", ""},

		{"HTTPS://A.kr/B Http://a.kr", "HTTPS://A.kr/B a.kr; Http://a.kr a.kr"},
		{"www.a.kr/b, WWW.a.kr (www.b.kr/c)", "www.a.kr/b www.a.kr; WWW.a.kr www.a.kr; www.b.kr/c www.b.kr"},
		{"www.a.kr에서 여기www.b.kr/c", "www.a.kr www.a.kr; www.b.kr/c www.b.kr"},
		{"www. www.a www.. me@www.a.kr ftp://www.a.kr xwww.a.kr www.a@b.kr", ""},

		// the whole host
		{"https://bücher.example/a", "https://bücher.example/a xn--bcher-kva.example"},
		{"https://x.café", "https://x.café x.xn--caf-dma"},
		{"https://cafe\u0301.fr", "https://cafe\u0301.fr xn--caf-dma.fr"},
		{"https://пример.рф/путь", "https://пример.рф/путь xn--e1afmkfd.xn--p1ai"},
		{"https://example.рф", "https://example.рф example.xn--p1ai"},
		{"https://한국.한국/길", "https://한국.한국/길 xn--3e0b707e.xn--3e0b707e"},
		{"https://i❤.ws", "https://i❤.ws xn--i-7iq.ws"},
		{"https://a。example/x", "https://a。example/x a.example"},
		{"https://ex\u00adample.com/", "https://ex\u00adample.com/ example.com"},
		{"https://example™", "https://example™ exampletm"},
		{"https://goodℹ", "https://goodℹ goodi"},
		{"https://bank.example@evil.example/", ""},
		{"https://user:secret@evil.example", ""},

		// text attached to it
		{"https://a.kr에서 봐", "https://a.kr a.kr"},
		{"https://naver.com입니다.", "https://naver.com naver.com"},
		{"https://naver.com입니다(정말)", "https://naver.com naver.com"},
		{"https://a.kr에서?아니", "https://a.kr a.kr"},
		{"https://a.krㅋㅋㅋ", "https://a.kr a.kr"},
		{"https://한국.kr에서", "https://한국.kr xn--3e0b707e.kr"},
		{"https://a.jpは", "https://a.jp a.jp"},
		{"https://a.cn。", "https://a.cn a.cn"},
		{"https://a.kr❤️ https://a.kr😀", "https://a.kr a.kr; https://a.kr a.kr"},
		{"“https://a.kr”는", "https://a.kr a.kr"},
		{"https://a.kr/b에서, https://a.kr/c를", "https://a.kr/b a.kr; https://a.kr/c a.kr"},
		{"https://a.kr/?q=b라고", "https://a.kr/?q=b a.kr"},
		{"https://naver.com,https://daum.net", "https://naver.com naver.com; https://daum.net daum.net"},

		// parts of the path
		{"https://ko.wikipedia.org/wiki/서울", "https://ko.wikipedia.org/wiki/서울 ko.wikipedia.org"},
		{"https://ko.wikipedia.org/wiki/대한민국_임시_정부#역사", "https://ko.wikipedia.org/wiki/대한민국_임시_정부#역사 ko.wikipedia.org"},
		{"https://a.kr/?q=서울+맛집&이름=값!", "https://a.kr/?q=서울+맛집&이름=값 a.kr"},
		{"https://a.kr/글-제목-둘/3", "https://a.kr/글-제목-둘/3 a.kr"},
		{"https://a.de/straße", "https://a.de/straße a.de"},
		{"https://a.de/über-uns", "https://a.de/über-uns a.de"},
		{"https://a.fr/Élysée에서", "https://a.fr/Élysée a.fr"},
		{"https://a.ru/Москва_(река)?q=да#нет", "https://a.ru/Москва_(река)?q=да#нет a.ru"},
		{"https://a.kr/서울2020년/b에서", "https://a.kr/서울2020년/b a.kr"},
		{"https://a.kr/b~~", "https://a.kr/b a.kr"},
	} {
		if got := strings.Join(linked(p, test.text), "; "); got != test.want {
			t.Errorf("%q has the links %q, want %q", test.text, got, test.want)
		}
	}
}

// No message freezes the page: eight times the length takes about eight times as
// long. Quadratic cost would take sixty-four times.
func TestNoTextCostsMoreThanItsLength(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	for _, kind := range []struct{ head, piece string }{
		{"http://a", "]"},
		{"http://a/", ")"},
		{"http://a/", "("},
		{"http://a/", "(]"},
		{"http://a/", "'"},
		{"http://a", "."},
		{"http://a/", "!?"},
		{"", "http://"},
		{"", "http://a "},
		{"", "http://a/]] "},
		{"", "http://가 "},
		{"http://", "@"},
		{"http://a", ":"},
		{"http://", "http://a:"},
		{"http://a", "에"},
		{"http://a", "에x"},
		{"http://a/", "가-"},
		{"http://a/", "가"},
		{"http://", "😀"},
		{"http://a", "%"},
		{"", "www."},
		{"", "www.,"},
		{"", "www.a.kr "},
		{"", "`"},
		{"", "` "},
		{"", "`a`` "},
		{"", "```a "},
		{"", "*"},
		{"", "*a "},
		{"", "*a* "},
		{"", "a* "},
		{"**a", " *b **c ~~d"},
		{"", "**a*b~~c "},
		{"", "~~a "},
		{"", "> a\n"},
		{"", "> "},
		{"", ">\n"},
		{"", "> a\n\n"},
		{"", "```\n"},
		{"", "```a\n"},
		{"", "```\na\n```\n"},
		{"```", " "},
		{"h", "t"},
		{"", "https:/"},
		{"", "😀"},
		{"😀", " "},
		{"", "👨‍👩‍👧 "},
		{"", "👍🏽"},
		{"", "🇰🇷"},
		{"", "\u202e"},
		{"", "\n"},
		{"", "a\u0301"},
		{"", "ﷺ"},
		{"", "x"},
		{"x", " "},
	} {
		small, large := 30<<10/8/len(kind.piece), 30<<10/len(kind.piece)
		script := fmt.Sprintf(`Promise.all([import('./page.js'), import('./special.js')]).then(([{ bubble }, { dress }]) => {
			const body = document.createElement('div');
			const took = (n, times) => {
				const text = %q + %q.repeat(n);
				let least = Infinity;
				for (let i = 0; i < 5; i++) {
					const begin = performance.now();
					for (let j = 0; j < times; j++) { dress(body, text, { id: '' }); bubble({ text, timestamp: 0, id: '1', name: 'x' }, false); }
					least = Math.min(least, performance.now() - begin);
				}
				return least / times;
			};
			took(%[3]d, 1); // to get it compiled
			const times = Math.ceil(5 / Math.max(0.01, took(%[3]d, 1)));
			return took(%[4]d, Math.ceil(times / 8)) / took(%[3]d, times);
		})`, kind.head, kind.piece, small, large)
		if ratio := eval[float64](p, script); ratio > 32 {
			t.Errorf("%q and many %q: eight times the length takes %.1f times as long", kind.head, kind.piece, ratio)
		}
	}
}

// A page with fifty such messages works as usual.
func TestMessagesThatWouldFreezeThePage(t *testing.T) {
	url := site(t, "max_text 30KiB")
	var batch []message
	for range 25 {
		batch = append(batch, message{Text: "http://a" + strings.Repeat("]", 8000)}, message{Text: strings.Repeat("http://a ", 3000)})
	}
	postAll(t, url+"/update", batch...)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.length`, 50)
	p.say("and I can write")
	wait(p, texts+`.length`, 51)
	wait(p, pendings+`.length`, 0)
	t.Logf("laying it out anew takes %.0f ms", eval[float64](p, `(() => { const b = performance.now(); document.body.style.width = '70%'; document.body.offsetHeight; return performance.now() - b })()`))
}
