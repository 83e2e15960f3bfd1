<?php
// Reads a URL with PHP's curl until it is killed. Each event is written as a line of JSON.
$last = '';
for (;; usleep(500_000)) {
    $rest = '';
    $event = [];
    $curl = curl_init($argv[1]);
    curl_setopt_array($curl, [
        CURLOPT_HTTPHEADER => $last === '' ? [] : ["Last-Event-ID: $last"],
        CURLOPT_WRITEFUNCTION => function ($curl, $bytes) use (&$rest, &$event, &$last) {
            $lines = explode("\n", $rest . $bytes);
            $rest = array_pop($lines);
            foreach ($lines as $line) {
                if ($line !== '') {
                    [$field, $value] = explode(':', $line, 2);
                    $event[$field] = ltrim($value, ' ');
                    continue;
                }
                if (isset($event['data'])) {
                    $last = $event['id'] ?? $last;
                    fwrite(STDOUT, json_encode(['event' => $event['event'] ?? '', 'data' => $event['data']]) . "\n");
                }
                $event = [];
            }
            return strlen($bytes);
        },
    ]);
    curl_exec($curl); // until it ends, for whatever reason
}
