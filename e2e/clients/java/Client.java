import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;

/**
 * Reads a URL with Java's own HttpClient or with OkHttp, until it is killed. Each event
 * is written as a line of JSON.
 */
class Client {
    /** Milliseconds before it reconnects. */
    static final int PAUSE = 500;

    static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    static String last = "";
    static Map<String, String> event = new HashMap<>();

    public static void main(String[] args) throws Exception {
        String url = args[1];
        Connection connection = args[0].equals("okhttp") ? okhttp(url) : httpClient(url);
        for (;; Thread.sleep(PAUSE)) {
            event.clear(); // what the last connection has left unfinished
            try {
                connection.read();
            } catch (IOException | UncheckedIOException e) {
                // reset, refused, or timed out
            }
        }
    }

    interface Connection {
        void read() throws IOException, InterruptedException;
    }

    static Connection httpClient(String url) throws Exception {
        HttpClient client = HttpClient.newBuilder().sslContext(context).build();
        return () -> {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
            if (!last.isEmpty()) request.header("Last-Event-ID", last);
            client.send(request.build(), BodyHandlers.ofLines()).body().forEach(Client::take);
        };
    }

    /** Its read timeout is the default, 10 s. */
    static Connection okhttp(String url) {
        OkHttpClient client = new OkHttpClient.Builder()
            .sslSocketFactory(context.getSocketFactory(), anyone).hostnameVerifier((host, session) -> true).build();
        return () -> {
            Request.Builder request = new Request.Builder().url(url);
            if (!last.isEmpty()) request.header("Last-Event-ID", last);
            try (Response response = client.newCall(request.build()).execute()) {
                for (String line; (line = response.body().source().readUtf8Line()) != null; ) take(line);
            }
        };
    }

    static void take(String line) {
        if (!line.isEmpty()) {
            String[] field = line.split(":", 2);
            event.put(field[0], field[1].startsWith(" ") ? field[1].substring(1) : field[1]);
            return;
        }
        String data = event.get("data");
        if (data != null) {
            last = event.getOrDefault("id", last);
            out.println("{\"event\":" + quote(event.getOrDefault("event", "")) + ",\"data\":" + quote(data) + "}");
        }
        event.clear();
    }

    /** A text without control characters as JSON. */
    static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    /** Trusts the test's self-signed certificate. */
    static final X509TrustManager anyone = new X509TrustManager() {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}
        public void checkServerTrusted(X509Certificate[] chain, String type) {}
        public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    };

    static final SSLContext context;

    static {
        try {
            context = SSLContext.getInstance("TLS");
            context.init(null, new TrustManager[] {anyone}, null);
        } catch (Exception e) {
            throw new ExceptionInInitializerError(e);
        }
    }
}
