package ssechat

import "github.com/sse-chat/caddy-sse-chat/store"

// appendReceipt appends what a publisher is answered: the stored message, or of
// one that was deleted since no more than that.
func appendReceipt(dst []byte, receipt store.Receipt) []byte {
	if receipt.Message != nil {
		return append(dst, receipt.Message.JSON()...)
	}
	dst = append(dst, `{"id":"`...)
	dst = receipt.ID.Append(dst)
	return append(dst, `","deleted":true}`...)
}
