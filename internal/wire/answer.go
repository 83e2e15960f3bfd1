package wire

import (
	"strconv"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// AppendReceipt appends what a publisher is answered: the stored message, or of
// one that was deleted since no more than that.
func AppendReceipt(dst []byte, receipt store.Receipt) []byte {
	if receipt.Message != nil {
		return append(dst, receipt.Message.JSON()...)
	}
	dst = append(dst, `{"id":"`...)
	dst = receipt.ID.Append(dst)
	return append(dst, `","deleted":true}`...)
}

// AppendHistory appends a page of history.
func AppendHistory(dst []byte, page store.Page) []byte {
	dst = append(dst, `{"messages":[`...)
	for i, m := range page.Messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.JSON()...)
	}
	dst = append(dst, `],"more":`...)
	dst = strconv.AppendBool(dst, page.More)
	return append(dst, '}')
}
