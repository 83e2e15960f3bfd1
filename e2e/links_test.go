package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// linked returns the links in a text: what is shown, and the target host.
func linked(p *tab, text string) []string {
	p.t.Helper()
	quoted, _ := json.Marshal(text)
	return eval[[]string](p, `import('./links.js').then(({ linked }) =>
		linked(`+string(quoted)+`).filter(n => n.href).map(a => decodeURI(a.textContent) + ' ' + a.host))`)
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
		{"https://a.de/straße", "https://a.de/stra a.de"},
		{"https://a.de/über-uns", "https://a.de/über-uns a.de"},
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
		script := fmt.Sprintf(`Promise.all([import('./message.js'), import('./links.js')]).then(([{ bubble }, { linked }]) => {
			const took = (n, times) => {
				const text = %q + %q.repeat(n);
				let least = Infinity;
				for (let i = 0; i < 7; i++) {
					const begin = performance.now();
					for (let j = 0; j < times; j++) { linked(text); bubble({ text, timestamp: 0, id: '1', name: 'x' }, false); }
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
