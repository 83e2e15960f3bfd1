# Reads a URL with Mojolicious until it is killed. Each event is written as a line of JSON.
use Mojo::Base -strict, -signatures;
use Mojo::JSON qw(encode_json);
use Mojo::UserAgent;

STDOUT->autoflush(1);
my ($url) = @ARGV;
my $ua   = Mojo::UserAgent->new;
my $last = '';
while (1) {
    my ($rest, %event) = ('');
    my $tx = $ua->build_tx(GET => $url => {$last ? ('Last-Event-ID' => $last) : ()});
    $tx->res->content->unsubscribe('read')->on(read => sub ($content, $bytes) {
        $rest .= $bytes;
        while ($rest =~ s/^(.*)\n//) {
            if (length $1) {
                my ($field, $value) = split /: ?/, $1, 2;
                $event{$field} = $value;
                next;
            }
            if (defined $event{data}) {
                $last = $event{id} // $last;
                # the data is already encoded
                print '{"event":', encode_json($event{event} // ''), ',"data":', quote($event{data}), "}\n";
            }
            %event = ();
        }
    });
    $ua->start($tx); # until it ends, for whatever reason
    select undef, undef, undef, 0.5;
}

# UTF-8 without control characters as JSON
sub quote ($bytes) {
    return '"' . $bytes =~ s/(["\\])/\\$1/gr . '"';
}
